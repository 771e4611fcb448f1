//! Objects' metadata as it comes over the wire.

use super::objects::ANNOTATION;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::ObjectMeta;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// What is of use of an object's metadata; much of what an API server keeps of an object is who wrote which field of it.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Slim {
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    #[serde(deserialize_with = "own_annotations")]
    annotations: BTreeMap<String, String>,
}

/// Metadata without what is of no use.
pub(super) fn slim<'de, D: Deserializer<'de>>(from: D) -> Result<ObjectMeta, D::Error> {
    let slim = Slim::deserialize(from)?;
    Ok(ObjectMeta {
        namespace: slim.namespace,
        name: slim.name,
        uid: slim.uid,
        resource_version: slim.resource_version,
        creation_timestamp: slim.creation_timestamp,
        deletion_timestamp: slim.deletion_timestamp,
        labels: slim.labels,
        annotations: Some(slim.annotations),
        ..ObjectMeta::default()
    })
}

/// Annotations that are for us, without their prefix; the others are passed over, some of which have a copy of the object.
fn own_annotations<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Own;
    impl<'de> Visitor<'de> for Own {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("annotations")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
            let mut own = BTreeMap::new();
            while let Some(key) = all.next_key::<Cow<'de, str>>()? {
                match key.strip_prefix(ANNOTATION) {
                    Some(key) => drop(own.insert(key.to_owned(), all.next_value()?)),
                    None => drop(all.next_value::<IgnoredAny>()?),
                }
            }
            Ok(own)
        }
    }
    from.deserialize_any(Own)
}
