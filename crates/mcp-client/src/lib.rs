//! A client of the gateway, as a library and for scripts.
