//! Makes an image and follows the job: `cargo run -p mcp-client --example generate -- "a red fox" [URL]`.

use std::io::Write as _;

use mcp_client::{ConnectOptions, GenerateImage, JobUpdate, Target, connect};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| "a TLS provider is installed already")?;
    let mut arguments = std::env::args().skip(1);
    let prompt = arguments.next().unwrap_or_else(|| "a dog wearing sunglasses".to_owned());
    let url = arguments.next().unwrap_or_else(|| "http://127.0.0.1:9000/mcp".to_owned());
    let mut stdout = std::io::stdout();

    let gateway = connect(Target::http(url), ConnectOptions::default()).await?;
    let job = gateway.generate_image(GenerateImage::new(prompt)).await?;
    writeln!(stdout, "job {}", job.id)?;

    let mut updates = gateway.subscribe_to_job(&job.id);
    while let Some(update) = updates.next().await {
        match update? {
            JobUpdate::State(job) => writeln!(stdout, "{}", job.state.as_str())?,
            JobUpdate::Progress { fraction, .. } => writeln!(stdout, "{:.0} %", fraction * 100.0)?,
            JobUpdate::Retrying { reason } => writeln!(stdout, "trying again: {reason}")?,
            JobUpdate::Finished(job) => {
                for artifact in &job.artifacts {
                    let bytes = gateway.fetch_image(artifact).await?;
                    std::fs::write(&artifact.file_name, &bytes)?;
                    writeln!(stdout, "{}: {} bytes", artifact.file_name, bytes.len())?;
                }
            }
        }
    }
    Ok(())
}
