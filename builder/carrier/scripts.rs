//! The scripts with which a node finds, checks and unpacks its archives.

use crate::failure::Result;
use crate::render::{Context, Template, Templates};

const SCRIPT: (&str, &str) =
    ("overlays/carrier/unpack-seed.sh.hbs", include_str!("../../overlays/carrier/unpack-seed.sh.hbs"));
const UNIT: (&str, &str) =
    ("overlays/carrier/kiln-seed.service.hbs", include_str!("../../overlays/carrier/kiln-seed.service.hbs"));

/// The templates of these scripts, parsed once.
pub struct SeedTemplates {
    engine: Templates,
    script: Template,
    unit: Template,
}

/// A shell script, and a unit that runs it where there is no cloud-init.
pub struct Scripts {
    pub script: String,
    pub unit: String,
}

impl SeedTemplates {
    /// # Errors
    /// None with the built-in templates.
    pub fn new() -> Result<Self> {
        let parse = |(name, text): (&str, &str)| Template::new(name, text.to_owned());
        Ok(Self { engine: Templates::new()?, script: parse(SCRIPT)?, unit: parse(UNIT)? })
    }

    /// # Errors
    /// None with the built-in templates; the error names a faulty template and its line.
    pub fn fill(&self, values: &Context) -> Result<Scripts> {
        let fill = |template| self.engine.fill(template, values);
        Ok(Scripts { script: fill(&self.script)?, unit: fill(&self.unit)? })
    }
}
