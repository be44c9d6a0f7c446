//! A typed client for ComfyUI's HTTP and websocket API.
