//! What scripts answer.

use ::redis::Value;

use super::LedgerError;

/// An answer whose parts are taken from the front.
pub(super) struct Reply(std::vec::IntoIter<Value>);

impl Reply {
    pub(super) fn new(value: Value) -> Result<Self, LedgerError> {
        match value {
            Value::Array(parts) => Ok(Self(parts.into_iter())),
            _ => Err(LedgerError::Unexpected),
        }
    }

    pub(super) fn text(&mut self) -> Result<String, LedgerError> {
        match self.0.next() {
            Some(Value::BulkString(bytes)) => String::from_utf8(bytes).map_err(|_| LedgerError::Unexpected),
            Some(Value::SimpleString(text)) => Ok(text),
            _ => Err(LedgerError::Unexpected),
        }
    }

    pub(super) fn number(&mut self) -> Result<u64, LedgerError> {
        self.text()?.parse().map_err(|_| LedgerError::Unexpected)
    }

    pub(super) fn list(&mut self) -> Result<Self, LedgerError> {
        Self::new(self.0.next().ok_or(LedgerError::Unexpected)?)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.as_slice().is_empty()
    }
}
