//! `candlewick decode`: what an exchange's answer says, without a network.

/// Arguments of `decode`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Decodes.
///
/// # Errors
/// Nothing yet fails.
pub fn run(_args: Args) -> Result<(), super::Failure> {
    Ok(())
}
