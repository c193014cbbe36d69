//! What a build says besides its result.

/// A message for whoever waits for the build.
pub enum Note {
    Detail(String),
    /// More than a detail: whoever wants no details gets it all the same.
    Announcement(String),
    Warning(String),
}

impl Note {
    pub fn detail(text: impl ToString) -> Self {
        Note::Detail(text.to_string())
    }

    pub fn announcement(text: impl ToString) -> Self {
        Note::Announcement(text.to_string())
    }

    pub fn warning(text: impl ToString) -> Self {
        Note::Warning(text.to_string())
    }
}

/// Where notes go, the moment that there is something to say.
pub type Tell<'a> = &'a (dyn Fn(Note) + Sync);
