//! Settings of the HTTP interface.

use std::fmt;
use std::net::SocketAddr;

use toml::Value;

use super::section::{Section, Setting, expected};

/// The HTTP interface for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebConfig {
    /// False without a section of its own.
    pub enabled: bool,
    /// Where it listens. What is not loopback needs a token.
    pub listen: SocketAddr,
    /// What askers must show; on loopback nothing, where it is absent.
    pub token: Option<Secret>,
}

impl Default for WebConfig {
    fn default() -> WebConfig {
        WebConfig { enabled: false, listen: SocketAddr::from(([127, 0, 0, 1], 8790)), token: None }
    }
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text that fits into a header: visible ASCII, at least one character.
    ///
    /// # Errors
    /// Says what is wrong, without the text.
    pub fn new(text: &str) -> Result<Secret, String> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Secret(text.to_owned()));
        }
        Err("expected visible ASCII characters without spaces, at least one".to_owned())
    }

    /// The text itself.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Setting for Secret {
    fn read(value: &Value) -> Result<Secret, String> {
        Secret::new(value.as_str().unwrap_or_default())
    }
}

impl Setting for SocketAddr {
    fn read(value: &Value) -> Result<SocketAddr, String> {
        let what = "an address with a port, such as \"127.0.0.1:8790\" or \"[::1]:8790\"";
        value.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| expected(what, value))
    }
}

/// Reads the section; that it is there switches the interface on.
pub(super) fn read(section: &mut Section<'_>, web: &mut WebConfig) {
    web.enabled = true;
    section.read("enabled", &mut web.enabled);
    section.read("listen", &mut web.listen);
    section.read("token", &mut web.token);
}
