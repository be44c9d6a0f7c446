//! The gateway between MCP clients and ComfyUI.
