//! The integration tests: the real programs, on real sockets, with the sandbox in ComfyUI's place.

mod e2e;
