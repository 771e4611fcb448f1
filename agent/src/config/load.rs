//! The files of a configuration, read.

use super::model::Config;
use super::{ConfigError, Files, Place, Problem, parse_from};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The folder beside the main file whose `*.toml` belong to the configuration.
const FOLDER: &str = "conf.d";

/// Where systemd says that the service's credentials are (systemd.exec(5), `LoadCredential=`).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// The largest file that is read: some hundred thousand backends. It keeps a wrong path from filling the memory.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Reads the main file and `conf.d/*.toml` beside it, by name and without hidden ones, and parses them as one
/// configuration. Nothing is kept open, nothing is written.
///
/// # Errors
/// Everything that is wrong with the files that can be read, and each file that cannot.
pub fn load(path: &Path) -> Result<Config, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut names = vec![path.to_owned()];
    let folder = path.parent().unwrap_or(Path::new("")).join(FOLDER);
    match list(&folder) {
        Ok(found) => names.extend(found),
        Err(error) => errors.push(unreadable(&folder, error)),
    }
    let mut files = Vec::new();
    for name in names {
        match read(&name) {
            Ok(text) => files.push((name, text)),
            Err(error) => errors.push(error),
        }
    }
    let credentials = std::env::var_os(CREDENTIALS).map(PathBuf::from);
    match parse_from(&files, Files { read: &read_bytes, credentials: credentials.as_deref() }) {
        Ok(config) if errors.is_empty() => Ok(config),
        Ok(_) => Err(errors),
        Err(more) => {
            errors.extend(more);
            Err(errors)
        }
    }
}

/// The files of the folder, sorted; none when there is no such folder.
fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.path();
        let hidden = name.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && name.extension().is_some_and(|extension| extension == "toml") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn read(name: &Path) -> Result<String, ConfigError> {
    let bytes = read_bytes(name).map_err(|error| unreadable(name, error))?;
    String::from_utf8(bytes).map_err(|error| {
        let place = Place::after(name, &error.as_bytes()[..error.utf8_error().valid_up_to()]);
        ConfigError::new(place, String::new(), Problem::Syntax("a byte that is no UTF-8".to_owned()))
    })
}

fn read_bytes(name: &Path) -> io::Result<Vec<u8>> {
    // A place in the configuration is recorded as text.
    if name.to_str().is_none() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "its name is no UTF-8"));
    }
    // Asked before it is opened: opening a pipe that nobody writes to would never end.
    if !std::fs::metadata(name)?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    let read = File::open(name)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if read as u64 > MAX_BYTES {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is larger than {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

fn unreadable(name: &Path, error: io::Error) -> ConfigError {
    ConfigError::new(Place::whole(name), String::new(), Problem::Unreadable(error))
}
