//! The names of a slice's pods, kept in one piece: those of a Service begin alike, and there are a hundred thousand of them.

/// The names of a slice's pods in the order of its endpoints: what all begin with, and a line with the rest of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pods(Box<str>);

/// The name of a pod: what it begins with, and the rest.
pub type Pod<'a> = (&'a str, &'a str);

/// Ends a line. No name of an object has it (RFC 1123).
const END: char = '\n';

/// Begins the line of a pod; that of an endpoint which is none is empty.
const IS: char = '.';

impl Pods {
    /// These names; none for an endpoint that is no pod.
    pub fn new(names: &[Option<String>]) -> Self {
        let names = || names.iter().map(|name| name.as_deref().filter(|name| !name.contains(END)));
        let Some(first) = names().flatten().next() else { return Self::default() };
        let alike = names().flatten().fold(first.len(), |alike, name| {
            first.bytes().zip(name.bytes()).take(alike).take_while(|(one, other)| one == other).count()
        });
        // Where it would part a letter nothing is alike.
        let start = first.get(..alike).unwrap_or_default();
        let mut text = start.to_owned();
        for name in names() {
            text.push(END);
            if let Some(rest) = name.and_then(|name| name.strip_prefix(start)) {
                text.push(IS);
                text.push_str(rest);
            }
        }
        Self(text.into())
    }

    /// The names, none for an endpoint that is no pod. Goes on for ever.
    pub fn iter(&self) -> impl Iterator<Item = Option<Pod<'_>>> {
        let mut lines = self.0.split(END);
        let start = lines.next().unwrap_or_default();
        let named = lines.map(move |line| Some((start, line.strip_prefix(IS)?)));
        named.chain(std::iter::repeat(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn again(names: &[Option<String>]) -> Vec<Option<String>> {
        let pods = Pods::new(names);
        pods.iter().take(names.len()).map(|pod| pod.map(|(start, rest)| format!("{start}{rest}"))).collect()
    }

    proptest! {
        #[test]
        fn every_name_is_as_it_was_whatever_names_have_in_common(
            names in prop::collection::vec(prop::option::of("(web-)?(7d9f8b6c5-)?[ab.é-]{0,4}"), 0..6)
        ) {
            prop_assert_eq!(again(&names), names);
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_none() {
        let names = ["web-1", "we\nb", "web-2"].map(|name| Some(name.to_owned()));
        assert_eq!(again(&names), [names[0].clone(), None, names[2].clone()]);
    }

    #[test]
    fn what_names_have_in_common_is_kept_once() {
        let names: Vec<_> =
            (0..10).map(|pod| Some(format!("a-service-of-ours-7d9f8b6c5-{pod:05}"))).collect();
        assert!(Pods::new(&names).0.len() < 150, "{:?}", Pods::new(&names));
    }
}
