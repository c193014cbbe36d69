//! Messages of a build besides its result.

/// A message for the user who waits for the build.
pub enum Note {
    Detail(String),
    /// Shown even where details are not.
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

/// Receives notes as they are made.
pub type Tell<'a> = &'a (dyn Fn(Note) + Sync);
