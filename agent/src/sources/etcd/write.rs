//! Writing what conftool would: each key is read, changed and swapped if nobody else has changed it meanwhile.
//!
//! An answer that is lost leaves it open whether the key was changed. The next server is asked then: what is there as it
//! is wanted was written.

use super::{v2, v3, value};
use crate::config::{Endpoint, EtcdSettings, EtcdVersion};
use crate::core::change::{Object, Stored, Word, WriteOrder, Written};

/// How often a key is read again that others change at the same time.
const ATTEMPTS: usize = 10;

/// A server that keys are changed at.
pub(super) trait Writer: Sized + Send {
    /// Connects.
    fn connect(
        settings: &EtcdSettings,
        endpoint: &Endpoint,
    ) -> impl Future<Output = Result<Self, String>> + Send;

    /// What a key has and as of which revision; none when there is no such key.
    fn read(&mut self, key: &str) -> impl Future<Output = Result<Option<(Vec<u8>, u64)>, Problem>> + Send;

    /// Gives a key another value if it is still as of this revision. The new revision, or none when it is not.
    fn swap(
        &mut self,
        key: &str,
        value: &str,
        revision: u64,
    ) -> impl Future<Output = Result<Option<u64>, Problem>> + Send;
}

/// Why a key was not changed.
#[derive(Debug)]
pub(super) enum Problem {
    /// This server does not serve; another may.
    Away(String),
    /// It may not be, or cannot be.
    Refused(String),
}

/// Changes what is ordered, one key after another, and says what came of each.
pub(in crate::sources) async fn write(settings: &EtcdSettings, order: &WriteOrder) -> Vec<Written> {
    match settings.version {
        EtcdVersion::V2 => write_by::<v2::Keys>(settings, order).await,
        EtcdVersion::V3 => write_by::<v3::Keys>(settings, order).await,
    }
}

async fn write_by<W: Writer>(settings: &EtcdSettings, order: &WriteOrder) -> Vec<Written> {
    let mut left: std::collections::VecDeque<&Object> = order.objects.iter().collect();
    let (mut written, mut errors) = (Vec::new(), Vec::new());
    for endpoint in &settings.endpoints {
        let mut writer = match W::connect(settings, endpoint).await {
            Ok(writer) => writer,
            Err(why) => {
                errors.push(format!("{endpoint}: {why}"));
                continue;
            }
        };
        while let Some(object) = left.front().copied() {
            let key = format!("{}/{}/{}", settings.prefix, object.path, object.host);
            let outcome = match change(&mut writer, &key, order.to).await {
                Ok(stored) => Ok(stored),
                Err(Problem::Refused(why)) => Err(format!("{key}: {why}")),
                Err(Problem::Away(why)) => {
                    errors.push(format!("{endpoint}: {why}"));
                    break;
                }
            };
            left.pop_front();
            written.push(Written { object: object.clone(), outcome });
        }
        if left.is_empty() {
            break;
        }
    }
    let missed = left.into_iter().cloned();
    written.extend(missed.map(|object| Written { object, outcome: Err(errors.join("; ")) }));
    written
}

/// Changes one key.
async fn change(writer: &mut impl Writer, key: &str, to: Word) -> Result<Stored, Problem> {
    for _ in 0..ATTEMPTS {
        let Some((bytes, revision)) = writer.read(key).await? else {
            return Err(Problem::Refused("there is no such key any more".to_owned()));
        };
        let changed = value::changed(&bytes, to).map_err(Problem::Refused)?;
        let (was, is) = (changed.was, changed.is);
        if was == is {
            return Ok(Stored { was, is, revision });
        }
        if let Some(revision) = writer.swap(key, &changed.value, revision).await? {
            return Ok(Stored { was, is, revision });
        }
    }
    Err(Problem::Refused(format!("others changed it {ATTEMPTS} times meanwhile")))
}
