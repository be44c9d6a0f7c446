//! A stand-in for ComfyUI that needs no GPU, no Python and no models.
