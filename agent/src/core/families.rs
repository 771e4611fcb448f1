//! One thing for each address family, at most: a map that is no larger than what is in it.

use ipvs::Family;

/// A map from address family, in the order IPv4, IPv6.
#[derive(Clone, Debug)]
pub struct PerFamily<T> {
    v4: Option<T>,
    v6: Option<T>,
}

impl<T> Default for PerFamily<T> {
    fn default() -> Self {
        Self { v4: None, v6: None }
    }
}

impl<T> PerFamily<T> {
    /// What a family has.
    pub fn get(&self, family: &Family) -> Option<&T> {
        match family {
            Family::V4 => self.v4.as_ref(),
            Family::V6 => self.v6.as_ref(),
        }
    }

    /// What a family has, made first if there is nothing.
    pub fn get_or_default(&mut self, family: Family) -> &mut T
    where
        T: Default,
    {
        match family {
            Family::V4 => self.v4.get_or_insert_default(),
            Family::V6 => self.v6.get_or_insert_default(),
        }
    }

    /// Whether there is nothing for either.
    pub fn is_empty(&self) -> bool {
        self.v4.is_none() && self.v6.is_none()
    }

    /// Whether a family has something.
    pub fn contains_key(&self, family: &Family) -> bool {
        self.get(family).is_some()
    }

    /// Forgets what the other families have.
    pub fn retain(&mut self, is_kept: impl Fn(Family) -> bool) {
        self.v4.take_if(|_| !is_kept(Family::V4));
        self.v6.take_if(|_| !is_kept(Family::V6));
    }

    /// All of them, with their families.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Family, &T)> {
        [(&Family::V4, &self.v4), (&Family::V6, &self.v6)]
            .into_iter()
            .filter_map(|(family, value)| Some((family, value.as_ref()?)))
    }

    /// All of them, with their families, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&'static Family, &mut T)> {
        [(&Family::V4, &mut self.v4), (&Family::V6, &mut self.v6)]
            .into_iter()
            .filter_map(|(family, value)| Some((family, value.as_mut()?)))
    }

    /// All of them.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.v4.iter().chain(&self.v6)
    }

    /// All of them, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.v4.iter_mut().chain(&mut self.v6)
    }
}
