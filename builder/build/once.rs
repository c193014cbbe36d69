//! Values that the builds of one run share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::failure::Result;

/// Values by their inputs, each made once; a thread that needs one that is being made waits.
pub struct Once<K, V>(Mutex<BTreeMap<K, Arc<V>>>);

impl<K, V> Default for Once<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord, V> Once<K, V> {
    pub fn get(&self, key: K, make: impl FnOnce() -> Result<V>) -> Result<Arc<V>> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = made.get(&key) {
            return Ok(Arc::clone(value));
        }
        let value = Arc::new(make()?);
        made.insert(key, Arc::clone(&value));
        Ok(value)
    }
}
