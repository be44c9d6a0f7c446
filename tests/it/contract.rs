//! What ComfyUI's API does, held against the sandbox, and against a real ComfyUI when COMFYUI_URL names one.
