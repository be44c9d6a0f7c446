//! The library and the program against a gateway that plays its part on the real protocol.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod gateway;
mod library;
mod program;
