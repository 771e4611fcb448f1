//! What went wrong with the API, in one line: what, where, and what to do.

use kube::Config;
use kube::runtime::watcher;
use rustls::CertificateError;
use std::error::Error;
use std::io;
use std::time::Duration;

/// Where the API is, and by what lvsd is known there.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The server's URL.
    server: String,
    /// What names it: a kubeconfig, or the pod's account.
    named_by: String,
    /// The file with the authority that made its certificate, if one is named.
    authority: Option<String>,
    /// What says who we are, with its file.
    credentials: Credentials,
    /// How long a connection may take.
    connect: Option<Duration>,
    /// How long it may be silent.
    silence: Option<Duration>,
}

/// What says who we are.
#[derive(Clone, Debug)]
enum Credentials {
    /// A token that is there.
    Token(String),
    /// A certificate that is there.
    Certificate(String),
    /// What a program says.
    Program(String),
    /// Nothing.
    None,
}

impl Place {
    /// Of what was read from a kubeconfig or a pod's account; with the file of the authority, where one is named.
    pub(super) fn new(config: &Config, named_by: String, authority: Option<String>) -> Self {
        let auth = &config.auth_info;
        let program = auth.exec.as_ref().and_then(|exec| exec.command.clone());
        let credentials = if auth.token.is_some() {
            Credentials::Token(named_by.clone())
        } else if let Some(file) = &auth.token_file {
            Credentials::Token(file.clone())
        } else if let Some(program) = program {
            Credentials::Program(program)
        } else if let Some(file) = &auth.client_certificate {
            Credentials::Certificate(file.clone())
        } else if auth.client_certificate_data.is_some() {
            Credentials::Certificate(named_by.clone())
        } else {
            Credentials::None
        };
        Self {
            server: config.cluster_url.to_string().trim_end_matches('/').to_owned(),
            named_by,
            authority,
            credentials,
            connect: config.connect_timeout,
            silence: config.read_timeout,
        }
    }

    /// What the API said, or why it could not be asked.
    pub(super) fn words(&self, error: &kube::Error) -> String {
        match error {
            kube::Error::Api(status) => self.of_status(status),
            other => self.of_cause(other),
        }
    }

    /// What broke a watch, with the verb and the resource.
    pub(super) fn watch_words(
        &self,
        resource: &str,
        namespace: Option<&str>,
        error: &watcher::Error,
    ) -> String {
        let (verb, what) = match error {
            watcher::Error::InitialListFailed(error) => ("list", self.words(error)),
            watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => {
                ("watch", self.words(error))
            }
            watcher::Error::WatchError(status) => ("watch", self.of_status(status)),
            watcher::Error::NoResourceVersion => ("list", self.of_cause(error)),
        };
        match namespace {
            Some(namespace) => format!("{verb} {resource} in {namespace}: {what}"),
            None => format!("{verb} {resource}: {what}"),
        }
    }

    /// It has not answered for so long.
    pub(super) fn silent(&self, time: Duration) -> String {
        let Self { server, named_by, .. } = self;
        format!(
            "no word from {server} (of {named_by}) for {} s: it hangs, or something drops packets on the way",
            time.as_secs_f64()
        )
    }

    fn of_status(&self, status: &kube::core::Status) -> String {
        let Self { server, named_by, .. } = self;
        let (code, message) = (status.code, &status.message);
        match code {
            401 => {
                let what = match &self.credentials {
                    Credentials::Token(file) => {
                        format!(
                            "the token in {file} (any more): put a new one there, as by kubectl create token"
                        )
                    }
                    Credentials::Certificate(file) => format!(
                        "the certificate in {file} (any more): put one there of the cluster's authority for clients"
                    ),
                    Credentials::Program(program) => {
                        format!("the token or certificate that {program} gives: sign in there again")
                    }
                    Credentials::None => {
                        format!("who gives no name: put a token or certificate into {named_by}")
                    }
                };
                format!("401 Unauthorized: {server} does not accept {what}")
            }
            403 => format!("403 {message} (at {server}): apply kubernetes-rbac.yaml for this account"),
            404 if message.contains("page not found") || message.contains("could not find") => {
                format!(
                    "404 {message} (at {server}, of {named_by}): is it an API server of Kubernetes 1.21 or later?"
                )
            }
            500.. => format!("{code} {message} (at {server}): see what its log and its etcd's say"),
            _ => format!("{code} {message} (at {server})"),
        }
    }

    /// Why it could not be asked, or did not answer.
    fn of_cause(&self, error: &(dyn Error + 'static)) -> String {
        let Self { server, named_by, .. } = self;
        let of = format!("{server} (of {named_by})");
        if let Some(why) = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
            return self.of_tls(why);
        }
        if let Some(cause) = causes(error).find(|cause| cause.to_string() == "dns error") {
            let why = cause.source().map(|why| format!(": {why}")).unwrap_or_default();
            return format!(
                "the name in {of} cannot be looked up{why}: mend the name, or the resolver of this host"
            );
        }
        let kind =
            causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind).last();
        let connecting = |cause: &(dyn Error + 'static)| {
            let error = cause.downcast_ref::<hyper_util::client::legacy::Error>();
            error.is_some_and(hyper_util::client::legacy::Error::is_connect)
        };
        match (kind, causes(error).any(connecting)) {
            (Some(io::ErrorKind::ConnectionRefused), _) => {
                format!("connection refused by {of}: start the API server, or mend the URL")
            }
            (Some(io::ErrorKind::TimedOut), true) => format!(
                "no connection to {of} within {} s: mend the URL, or what drops packets on the way",
                self.connect.unwrap_or_default().as_secs_f64()
            ),
            (Some(io::ErrorKind::TimedOut), false) => self.silent(self.silence.unwrap_or_default()),
            (_, true) => format!("no connection to {of}: {}: mend the URL, or the way there", chain(error)),
            (_, false) => format!("{of}: {}", chain(error)),
        }
    }

    fn of_tls(&self, why: &rustls::Error) -> String {
        let Self { server, named_by, .. } = self;
        match why {
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => match &self.authority {
                Some(file) => format!(
                    "the certificate of {server} is of no authority in {file}: put the cluster's there"
                ),
                None => format!(
                    "the certificate of {server} is of no authority that is trusted: name the cluster's as certificate-authority in {named_by}"
                ),
            },
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => format!(
                "the certificate of {server} is not for this name: {why}: put a name that it has into {named_by}, as the server's or as tls-server-name"
            ),
            rustls::Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ) => {
                format!("the certificate of {server} has expired: renew it there, or mend this host's clock")
            }
            rustls::Error::InvalidCertificate(_) => format!(
                "the certificate of {server} cannot be trusted: {why}: renew it there, or mend certificate-authority in {named_by}"
            ),
            rustls::Error::AlertReceived(_) => {
                let own = match &self.credentials {
                    Credentials::Certificate(file) => format!("the certificate in {file}"),
                    _ => format!("what {named_by} has for it"),
                };
                format!("{server} has ended TLS: {why}: it may not accept {own}")
            }
            _ => {
                format!("no TLS with {server} (of {named_by}): {why}: is it the API's own port, with https?")
            }
        }
    }
}

/// An error and its causes, also of those that have one inside which they do not name.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// An error with its causes, each once: outer ones often repeat the inner ones.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for words in causes(error).map(ToString::to_string) {
        if text.is_empty() {
            text = words;
        } else if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
    }
    text
}
