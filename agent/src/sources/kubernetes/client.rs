//! How the API is reached.

use super::words::{Place, chain};
use crate::config::KubernetesSettings;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How much longer than a watch an answer may be silent: as long as a server may take to end it, twice over.
const MARGIN: Duration = Duration::from_secs(10);

/// Where a pod has the authority of its cluster (Kubernetes, "Accessing the API from within a Pod").
const POD_AUTHORITY: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";

/// A way to ask the API, and where it is, for words.
#[derive(Clone)]
pub(super) struct Access {
    /// The client.
    pub(super) client: Client,
    /// Where it is.
    pub(super) place: Arc<Place>,
}

/// A client with everything read anew: the kubeconfig, the certificates and tokens that it names, and what its program
/// for credentials says. Tokens in files are read again while it lives, once a minute.
///
/// # Errors
/// What is wrong with them, with the file.
pub(super) async fn connect(settings: &KubernetesSettings) -> Result<Access, String> {
    let options = KubeConfigOptions { context: settings.context.clone(), ..Default::default() };
    let is_in_environment = settings.context.is_some() || std::env::var_os("KUBECONFIG").is_some();
    let (mut config, named_by, authority) = match &settings.kubeconfig {
        Some(path) => {
            let at = |error: kube::config::KubeconfigError| format!("{}: {}", path.display(), chain(&error));
            let read = Kubeconfig::read_from(path).map_err(at)?;
            let authority = authority(&read, settings.context.as_ref());
            let config = Config::from_custom_kubeconfig(read, &options).await.map_err(at)?;
            (config, path.display().to_string(), authority)
        }
        None if is_in_environment => {
            let at = |error: kube::config::KubeconfigError| format!("KUBECONFIG: {}", chain(&error));
            let read = Kubeconfig::read().map_err(at)?;
            let authority = authority(&read, settings.context.as_ref());
            let config = Config::from_custom_kubeconfig(read, &options).await.map_err(at)?;
            (config, "the kubeconfig of KUBECONFIG".into(), authority)
        }
        None => {
            let config = Config::incluster().map_err(|error| {
                let why = chain(&error);
                format!("no kubeconfig is set, and this is no pod with an account of its own: {why}: set kubeconfig")
            })?;
            let authority = Path::new(POD_AUTHORITY).exists().then(|| POD_AUTHORITY.to_owned());
            (config, "the pod's account".into(), authority)
        }
    };
    config.connect_timeout = Some(settings.connect_timeout);
    // A watch may be silent for its whole length; whatever is silent for longer is dead.
    config.read_timeout = Some(settings.watch_timeout + MARGIN);
    config.reset_reader_on_write = true;
    let place = Arc::new(Place::new(&config, named_by.clone(), authority));
    // A program for credentials is waited for.
    let made = tokio::task::spawn_blocking(move || Client::try_from(config)).await;
    let made = made.map_err(|error| format!("credentials of {named_by}: its program: {error}"))?;
    let client = made.map_err(|error| format!("credentials of {named_by}: {}", chain(&error)))?;
    Ok(Access { client, place })
}

/// The file with the authority of the cluster that a context means.
fn authority(read: &Kubeconfig, context: Option<&String>) -> Option<String> {
    let context = context.or(read.current_context.as_ref())?;
    let named = read.contexts.iter().find(|named| named.name == *context)?;
    let cluster = &named.context.as_ref()?.cluster;
    let named = read.clusters.iter().find(|named| named.name == *cluster)?;
    named.cluster.as_ref()?.certificate_authority.clone()
}
