//! The Model Context Protocol, server and client, on jsonrpsee's method table.
