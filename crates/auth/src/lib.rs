//! API keys, permissions and rate limits.
