//! Runs against a scripted ComfyUI, over real sockets.
