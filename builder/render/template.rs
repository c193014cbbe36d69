//! Filling in `.hbs` files, strictly: a variable that is not there is an error, also in a condition.

pub use handlebars::Context;
use handlebars::{
    Handlebars, Helper, HelperResult, JsonTruthy, Output, RenderContext, RenderError, RenderErrorReason,
    Renderable,
};
use serde_json::Value;

use crate::failure::{Exit, Failure, Result};

/// What fills templates in.
pub struct Templates {
    engine: Handlebars<'static>,
    pub(super) seed: super::carrier::SeedTemplates,
}

/// A template that has been parsed.
pub struct Template {
    /// The file as messages name it: `overlays/etcd/etc/x.hbs`.
    name: String,
    text: String,
    parsed: handlebars::Template,
}

impl Template {
    /// # Errors
    /// `Exit::Profile`, with the template's name, the line and the column.
    pub fn new(name: &str, text: String) -> Result<Self> {
        // Parsed by hand, because an unnamed template's errors have no position.
        let parsed = handlebars::Template::compile_with_name(&text, name.to_owned()).map_err(|error| {
            let (line, column) = error.pos().unzip();
            refuse(name, line, column, error.reason().to_string())
        })?;
        Ok(Self { name: name.to_owned(), text, parsed })
    }

    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Templates {
    /// # Errors
    /// None with the templates that Kiln carries.
    pub fn new() -> Result<Self> {
        let mut engine = Handlebars::new();
        engine.set_strict_mode(true);
        engine.register_escape_fn(handlebars::no_escape);
        // Strict mode does not reach into the conditions of the built-in helpers.
        engine.register_helper("if", Box::new(Conditional { when: true }));
        engine.register_helper("unless", Box::new(Conditional { when: false }));
        Ok(Self { engine, seed: super::carrier::SeedTemplates::new()? })
    }

    /// # Errors
    /// `Exit::Profile`, with the template's name, the line and the column.
    pub fn fill(&self, template: &Template, values: &Context) -> Result<String> {
        let mut render = RenderContext::new(None);
        template.parsed.renders(&self.engine, values, &mut render).map_err(|error| {
            let reason = match error.reason() {
                RenderErrorReason::MissingVariable(Some(variable)) => {
                    format!("there is no variable {variable}; the README lists those that there are")
                }
                other => other.to_string(),
            };
            refuse(&template.name, error.line_no, error.column_no, reason)
        })
    }
}

/// Values as templates take them.
///
/// # Errors
/// None: what is JSON already is taken as it is.
pub fn context(values: Value) -> Result<Context> {
    Context::wraps(values).map_err(|error| refuse("the variables", None, None, error.reason().to_string()))
}

fn refuse(name: &str, line: Option<usize>, column: Option<usize>, reason: String) -> Failure {
    let at = line.map_or(String::new(), |line| format!(":{line}:{}", column.unwrap_or(1)));
    Failure::new(Exit::Profile, format!("{name}{at}: {reason}"))
}

/// `{{#if}}` and `{{#unless}}`.
struct Conditional {
    when: bool,
}

impl handlebars::HelperDef for Conditional {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        engine: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let condition = helper
            .param(0)
            .ok_or_else(|| RenderError::from(RenderErrorReason::ParamNotFoundForIndex("if", 0)))?;
        if condition.is_value_missing() {
            let variable = condition.relative_path().cloned();
            return Err(RenderErrorReason::MissingVariable(variable).into());
        }
        let branch = if condition.value().is_truthy(false) == self.when {
            helper.template()
        } else {
            helper.inverse()
        };
        branch.map_or(Ok(()), |branch| branch.render(engine, context, render, out))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fill(name: &str, text: &str, values: Value) -> Result<String> {
        Templates::new()?.fill(&Template::new(name, text.to_owned())?, &context(values)?)
    }

    #[test]
    fn values_are_filled_in_unescaped() {
        let values = json!({"a": "<&\"'>", "list": ["x", "y"], "yes": true});
        let text = "{{a}}\n{{#each list}}\n- {{this}} {{../a}}\n{{/each}}\n{{#if yes}}on{{else}}off{{/if}}{{#unless yes}}no{{/unless}}\n";
        let filled = fill("t", text, values).unwrap();
        assert_eq!(filled, "<&\"'>\n- x <&\"'>\n- y <&\"'>\non\n");
    }

    #[test]
    fn an_unknown_variable_is_an_error_with_its_place() {
        let cases = [
            ("ok\n{{nope}}\n", ":2:", "nope"),
            ("{{#if nope}}x{{/if}}", ":1:", "nope"),
            ("{{#unless nope}}x{{/unless}}", ":1:", "nope"),
            ("{{a.b}}", ":1:", "a.b"),
            ("ok\n\n{{#if a}}", ":3:", ""),
            ("{{#each nope}}{{/each}}", ":1:", ""),
            ("{{frobnicate a}}", ":1:", "frobnicate"),
        ];
        for (text, place, name) in cases {
            let error = fill("my/file.hbs", text, json!({"a": 1})).unwrap_err();
            let shown = error.to_string();
            assert!(
                shown.starts_with(&format!("my/file.hbs{place}")) && shown.contains(name),
                "{text}: {shown}"
            );
        }
    }
}
