//! A client of the gateway, as a library and for scripts.
//!
//! ```no_run
//! use mcp_client::{ConnectOptions, GenerateImage, Target, connect};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let gateway = connect(Target::http("http://127.0.0.1:9000/mcp"), ConnectOptions::default()).await?;
//! let job = gateway.generate_image(GenerateImage::new("a dog wearing sunglasses")).await?;
//! let job = gateway.wait_for_job_completion(&job.id, std::time::Duration::from_secs(300)).await?;
//! for artifact in &job.artifacts {
//!     std::fs::write(&artifact.file_name, gateway.fetch_image(artifact).await?)?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The process has to have a rustls provider installed before it connects over HTTP:
//! `rustls::crypto::ring::default_provider().install_default()`.
//!
//! The program `mcp-client` is built on this library. Its exit codes: 0 ok, 1 the job failed or another
//! error, 2 wrong usage or invalid arguments, 3 the server can't be reached, 4 refused (401, 403), 5 too many
//! requests (429), 6 the time for waiting is over, 7 the job was cancelled, 130 interrupted.

mod artifact;
mod connect;
mod error;
mod follow;
mod gateway;
mod image_input;
mod job;
mod request;

pub use connect::{ConnectOptions, Target, connect};
pub use error::{GatewayError, ToolFailure};
pub use follow::{JobUpdate, JobUpdates, LONGEST_RATE_WAIT, RATE_LIMIT_PATIENCE};
pub use gateway::{GatewayClient, ImageSize};
pub use image_input::{ImageInput, ImageInputError, MAX_IMAGE_BYTES, media_type_of};
pub use job::{Artifact, Job, JobAnswer, JobFailure, JobState};
pub use request::{ControlNet, GenerateImage, Img2Img, Inpaint, Lora, RunWorkflow, WorkflowSource};
