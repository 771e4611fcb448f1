//! How the API is reached, and what its errors mean.

use crate::config::KubernetesSettings;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher;
use kube::{Client, Config};
use std::time::Duration;

/// How much longer than a watch an answer may be silent: as long as a server may take to end it, twice over.
const MARGIN: Duration = Duration::from_secs(10);

/// A client with everything read anew: the kubeconfig, the certificates and tokens that it names, and what its program
/// for credentials says. Tokens in files are read again while it lives, once a minute.
///
/// # Errors
/// What is wrong with them, with the file.
pub(super) async fn connect(settings: &KubernetesSettings) -> Result<Client, String> {
    let mut config = match &settings.kubeconfig {
        Some(path) => {
            let at = |error: kube::config::KubeconfigError| format!("{}: {}", path.display(), chain(&error));
            let options = KubeConfigOptions { context: settings.context.clone(), ..Default::default() };
            let read = Kubeconfig::read_from(path).map_err(at)?;
            Config::from_custom_kubeconfig(read, &options).await.map_err(at)?
        }
        None if settings.context.is_some() || std::env::var_os("KUBECONFIG").is_some() => {
            let options = KubeConfigOptions { context: settings.context.clone(), ..Default::default() };
            Config::from_kubeconfig(&options).await.map_err(|error| chain(&error))?
        }
        None => Config::incluster().map_err(|error| {
            format!("no kubeconfig is set, and this is no pod with an account of its own: {}", chain(&error))
        })?,
    };
    config.connect_timeout = Some(settings.connect_timeout);
    // A watch may be silent for its whole length; whatever is silent for longer is dead.
    config.read_timeout = Some(settings.watch_timeout + MARGIN);
    config.reset_reader_on_write = true;
    // A program for credentials is waited for.
    let made = tokio::task::spawn_blocking(move || Client::try_from(config)).await;
    let made = made.map_err(|error| format!("the program for credentials: {error}"))?;
    made.map_err(|error| format!("credentials: {}", chain(&error)))
}

/// What the API said, or why it could not be asked.
pub(super) fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 401 => {
            "401 Unauthorized: the token or certificate is not accepted (any more)".into()
        }
        kube::Error::Api(status) => format!("{} {}", status.code, status.message),
        other => chain(other),
    }
}

/// What broke a watch, with the verb and the resource.
pub(super) fn watch_words(resource: &str, namespace: Option<&str>, error: &watcher::Error) -> String {
    let (verb, what) = match error {
        watcher::Error::InitialListFailed(error) => ("list", words(error)),
        watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => {
            ("watch", words(error))
        }
        watcher::Error::WatchError(status) => ("watch", format!("{} {}", status.code, status.message)),
        watcher::Error::NoResourceVersion => ("list", error.to_string()),
    };
    match namespace {
        Some(namespace) => format!("{verb} {resource} in {namespace}: {what}"),
        None => format!("{verb} {resource}: {what}"),
    }
}

/// An error with its causes, each once: outer ones often repeat the inner ones.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = inner.source();
    }
    text
}
