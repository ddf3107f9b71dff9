//! Who the node is for one start: a number that grows, and the key of its access tokens.
//!
//! Rule: a node whose Chrome ends with it is another one after each start. Beside a service that runs on, it stays the same until the
//! machine boots again, or the tokens that the service has seen would not open it any more.

use std::fs;
use std::io;
use std::path::Path;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::service;

/// Who the node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Grows with every start.
    pub boot_id: u64,
    /// Key of the access tokens: 128 random bits in hexadecimal.
    pub key: String,
}

impl Identity {
    /// Another one than ever before.
    ///
    /// # Panics
    /// When the operating system has no random numbers.
    #[must_use]
    pub fn new(boot_id: Option<u64>) -> Self {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes).expect("the operating system's random source works, or nothing is safe");
        Self { boot_id: boot_id.unwrap_or_else(clock::now_ms), key: HEXLOWER.encode(&bytes) }
    }

    /// The one that this directory has, which is emptied when the machine boots. The service finds the key beside it.
    ///
    /// # Errors
    /// When the directory cannot be read and written.
    pub fn kept(directory: &Path, boot_id: Option<u64>) -> io::Result<Self> {
        let path = directory.join("identity");
        let known = fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str(&text).ok());
        if let Some(identity) = known {
            return Ok(identity);
        }
        let identity = Self::new(boot_id);
        service::write(&directory.join("access-key"), &identity.key)?;
        service::write(&path, &serde_json::to_string(&identity)?)?;
        Ok(identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_while_the_directory_is() {
        let directory = std::env::temp_dir().join(format!("browser-node-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let kept = || Identity::kept(&directory, None).expect("the directory is there");
        let first = kept();
        assert_eq!(kept(), first);
        let told = fs::read_to_string(directory.join("access-key")).expect("the service's copy");
        assert_eq!(told.trim_end(), first.key);
        fs::remove_file(directory.join("identity")).expect("it is there until the machine boots");
        let second = kept();
        assert!(second.boot_id >= first.boot_id && second.key != first.key, "{first:?}, {second:?}");
        fs::remove_dir_all(&directory).expect("it was there");
    }
}
