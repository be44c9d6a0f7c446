//! Reads, checks, explains and edits ComfyUI workflow graphs; pure, no I/O.
