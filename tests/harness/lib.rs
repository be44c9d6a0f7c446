//! What the integration tests start and talk to.
