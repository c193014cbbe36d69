//! Renders `.hbs` files strictly: an undefined variable is an error, also in a condition. The time of a template grows
//! with its length, and its memory is limited.

use std::io;

pub use handlebars::Context;
use handlebars::{
    Handlebars, Helper, HelperDef, HelperResult, JsonTruthy, Output, RenderContext, RenderError,
    RenderErrorReason, Renderable, TemplateErrorReason,
};
use serde_json::Value;

use super::scan;
use crate::failure::{Exit, Failure, Result};
use crate::interrupt;

/// The longest template, in bytes.
pub const MAX_TEMPLATE_BYTES: usize = 1 << 20;

/// The longest output of a template, in bytes.
const MAX_FILLED_BYTES: usize = 16 << 20;

/// The limit on texts, values and conditions rendered for one template: nested lists multiply.
const MAX_STEPS: usize = 4 << 20;

/// The template engine.
pub struct Templates {
    engine: Handlebars<'static>,
}

/// A parsed template.
pub struct Template {
    /// The name of its file in messages: `overlays/etcd/etc/x.hbs`.
    name: String,
    text: String,
    parts: Vec<Part>,
}

/// A part that is parsed by itself, and its place in the whole, from 1.
struct Part {
    line: usize,
    column: usize,
    parsed: handlebars::Template,
}

impl Part {
    /// Converts a place in it to a place in the whole.
    fn place(&self, line: usize, column: usize) -> (usize, usize) {
        moved((self.line, self.column), line, column)
    }
}

fn moved(begin: (usize, usize), line: usize, column: usize) -> (usize, usize) {
    let column = if line <= 1 { begin.1 + column.saturating_sub(1) } else { column };
    (begin.0 + line.saturating_sub(1), column)
}

impl Template {
    /// # Errors
    /// `Exit::Profile`, with the template's name, the line and the column; also for one that is longer than
    /// `MAX_TEMPLATE_BYTES`, or that `scan` refuses. `Exit::Interrupted` once a signal has come.
    pub fn new(name: &str, text: String) -> Result<Self> {
        Self::in_parts(name, text, scan::PART_BYTES)
    }

    fn in_parts(name: &str, text: String, length: usize) -> Result<Self> {
        if text.len() > MAX_TEMPLATE_BYTES {
            let reason = format!(
                "a template has at most {} KiB; this one has {}",
                MAX_TEMPLATE_BYTES >> 10,
                text.len() >> 10
            );
            return Err(refuse(name, None, reason));
        }
        let ranges = scan::parts(&text, length).map_err(|scan::Refused { at, reason }| {
            let before = &text[..at];
            let (line, column) = behind((1, 1), before);
            refuse(name, Some((line, column)), reason)
        })?;
        let mut begin = (1, 1);
        let mut parts = Vec::with_capacity(ranges.len());
        for range in ranges {
            interrupt::check()?;
            let part = &text[range];
            // With a name, because an unnamed template's errors have no position.
            let parsed = handlebars::Template::compile_with_name(part, name.to_owned()).map_err(|error| {
                let place = error.pos().map(|(line, column)| moved(begin, line, column));
                let reason = match error.reason() {
                    // The parser names what it expected by the internal rules of its grammar.
                    TemplateErrorReason::InvalidSyntax(_) => {
                        "this tag cannot be read; write it as in {{node}}, {{#if ipv4}} or {{#each nodes}}"
                            .into()
                    }
                    other => other.to_string(),
                };
                refuse(name, place, reason)
            })?;
            parts.push(Part { line: begin.0, column: begin.1, parsed });
            begin = behind(begin, part);
        }
        Ok(Self { name: name.to_owned(), text, parts })
    }

    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The place after a text that begins at a given place: line and column, in characters.
fn behind((line, column): (usize, usize), text: &str) -> (usize, usize) {
    match text.rfind('\n') {
        Some(last) => (line + text.matches('\n').count(), text[last + 1..].chars().count() + 1),
        None => (line, column + text.chars().count()),
    }
}

impl Templates {
    /// # Errors
    /// None with the built-in templates.
    pub fn new() -> Result<Self> {
        let mut engine = Handlebars::new();
        engine.set_strict_mode(true);
        engine.register_escape_fn(handlebars::no_escape);
        // Strict mode does not apply to the conditions of the built-in helpers.
        engine.register_helper("if", Box::new(Conditional { when: true }));
        engine.register_helper("unless", Box::new(Conditional { when: false }));
        Ok(Self { engine })
    }

    /// # Errors
    /// `Exit::Profile`, with the template's name, the line and the column; also for output that is too long.
    /// `Exit::Interrupted` once a signal has come.
    pub fn fill(&self, template: &Template, values: &Context) -> Result<String> {
        let mut out = Filled::default();
        for part in &template.parts {
            let mut render = RenderContext::new(None);
            part.parsed.render(&self.engine, values, &mut render, &mut out).map_err(|error| {
                let place = error.line_no.map(|line| part.place(line, error.column_no.unwrap_or(1)));
                let reason = match (out.stopped, error.reason()) {
                    (Some(Stopped::Interrupted), _) => return Failure::interrupted(),
                    (Some(Stopped::TooLong), _) => {
                        format!("filled in, it would have more than {} MiB", MAX_FILLED_BYTES >> 20)
                    }
                    (Some(Stopped::TooMuch), _) => "its nested lists take too many steps".into(),
                    (None, RenderErrorReason::MissingVariable(Some(variable))) => {
                        format!("there is no variable {variable}; the README lists all variables")
                    }
                    (None, RenderErrorReason::MissingVariable(None)) => {
                        "the value that is looked up here does not exist".into()
                    }
                    (None, other) => other.to_string(),
                };
                refuse(&template.name, place, reason)
            })?;
        }
        Ok(out.text)
    }
}

/// The output of a template, within its limits.
#[derive(Default)]
struct Filled {
    text: String,
    steps: usize,
    stopped: Option<Stopped>,
}

#[derive(Clone, Copy)]
enum Stopped {
    Interrupted,
    TooLong,
    TooMuch,
}

impl Output for Filled {
    fn write(&mut self, segment: &str) -> io::Result<()> {
        self.steps += 1;
        self.stopped = if interrupt::asked() {
            Some(Stopped::Interrupted)
        } else if self.text.len() + segment.len() > MAX_FILLED_BYTES {
            Some(Stopped::TooLong)
        } else if self.steps > MAX_STEPS {
            Some(Stopped::TooMuch)
        } else {
            self.text.push_str(segment);
            return Ok(());
        };
        Err(io::ErrorKind::Other.into())
    }
}

/// Values in the form that templates need.
///
/// # Errors
/// None: JSON values are accepted unchanged.
pub fn context(values: Value) -> Result<Context> {
    Context::wraps(values).map_err(|error| refuse("the variables", None, error.reason().to_string()))
}

fn refuse(name: &str, place: Option<(usize, usize)>, reason: String) -> Failure {
    let at = place.map_or(String::new(), |(line, column)| format!(":{line}:{column}"));
    Failure::new(Exit::Profile, format!("{name}{at}: {reason}"))
}

/// `{{#if}}` and `{{#unless}}`.
struct Conditional {
    when: bool,
}

impl HelperDef for Conditional {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        engine: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        out.write("")?;
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
    use proptest::prelude::*;
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

    #[test]
    fn a_template_that_calls_itself_or_is_nested_deeply_is_refused() {
        let deep = format!("{}x{}", "{{#if a}}".repeat(5000), "{{/if}}".repeat(5000));
        let one = "{{#*inline \"a\"}}{{> a}}{{/inline}}{{> a}}";
        let two = "x\n{{#*inline \"a\"}}x{{> b}}{{/inline}}{{#*inline \"b\"}}y{{> a}}{{/inline}}{{> a}}";
        for (text, want) in [(one, "t:1:1: partials"), (two, "t:2:1: partials"), (&deep, "t:1:289: blocks")] {
            let error = fill("t", text, json!({"a": 1})).unwrap_err();
            assert_eq!(error.exit(), Exit::Profile);
            assert!(error.to_string().starts_with(want), "{error}");
        }
        // An accepted template fits on the stack of a thread.
        let deep = format!("{}x{}", "{{#if a}}".repeat(32), "{{/if}}".repeat(32));
        assert_eq!(fill("t", &deep, json!({"a": 1})).unwrap(), "x");
    }

    #[test]
    fn what_a_template_grows_to_is_bounded() {
        let all: Vec<_> = (0..9).map(|_| "x".repeat(1000)).collect();
        let loops = |inner: &str| {
            let open = "{{#each @root.a}}".repeat(4);
            format!("\n{open}{}{}", inner.repeat(2000), "{{/each}}".repeat(4))
        };
        let long = fill("t", &loops("{{this}}"), json!({ "a": all })).unwrap_err().to_string();
        assert_eq!(long, "t:2:6285: filled in, it would have more than 16 MiB");
        let much = fill("t", &loops("{{#if a}}{{/if}}"), json!({ "a": vec![json!({ "a": 1 }); 9] }));
        let much = much.unwrap_err().to_string();
        assert!(
            much.starts_with("t:2:") && much.ends_with(": its nested lists take too many steps"),
            "{much}"
        );
        let large = fill("t", &"x".repeat(MAX_TEMPLATE_BYTES + 1), json!({})).unwrap_err().to_string();
        assert_eq!(large, "t: a template has at most 1024 KiB; this one has 1024");
    }

    #[test]
    fn places_are_those_of_the_whole_template() {
        for (filler, place) in [("{{a}}\n", ":3001:"), ("{{a}} x ", ":1:2400"), ("ä{{a}}", ":1:1800")] {
            for bad in ["{{nope}}", "{{#if", "{{/each}}"] {
                let error = fill("t", &(filler.repeat(3000) + bad), json!({"a": 1})).unwrap_err().to_string();
                assert!(error.starts_with(&format!("t{place}")), "{bad}: {error}");
            }
        }
    }

    /// Text, tags, blocks, comments, escapes, blanks and line ends in any order, as far as blocks are closed.
    fn template() -> impl Strategy<Value = String> {
        let leaf = prop::sample::select(vec![
            "word",
            " ",
            "\n",
            "\r\n",
            "  \n",
            "\t",
            "{{@root.a}}",
            "{{{@root.a}}}",
            "{{~@root.a}}",
            "{{@root.a~}}",
            "\\{{@root.a}}",
            "\\\\{{@root.a}}",
            "{{! c }}",
            "{{!-- {{#if}} --}}",
            "{ {",
            "}}",
            "ä",
            "\\",
            "{{{{raw}}}} {{a}} {{{{/raw}}}}",
            "{{{{~raw~}}}} x {{{{~/raw~}}}}",
            "{{~! c }}",
            "{{lookup @root.list 0}}",
        ]);
        let leaves = prop::collection::vec(leaf, 0..40).prop_map(|all| all.concat());
        let inner = leaves.clone().prop_recursive(3, 64, 6, |inner| {
            let kinds = prop::sample::select(vec![
                ("{{#if a}}", "{{/if}}"),
                ("{{#if b}}\n", "{{else}}\nx{{/if}}\n"),
                ("{{#each @root.list}}", "{{/each}}"),
                ("{{~#if @root.a~}}", "{{~/if~}}"),
                ("{{#if @root.b}}{{else if @root.a}}", "{{/if}}"),
            ]);
            (kinds, prop::collection::vec(inner, 1..4))
                .prop_map(|((open, close), all)| format!("{open}{}{close}", all.concat()))
        });
        (leaves, prop::collection::vec(inner, 1..60)).prop_map(|(first, rest)| first + &rest.concat())
    }

    proptest! {
        /// Invalid templates are refused with a message, too.
        #[test]
        fn any_text_is_a_template_or_is_refused(
            words in prop::collection::vec(prop::sample::select(vec![
                "{{", "}}", "{{{", "}}}", "{{#", "{{/", "{{^", "{{~", "~}}", "{{!", "--", "{{else", "else", "if", "each", "as", "|",
                "a", " ", "\n", "\\", "(", ")", "[", "]", "{", "}", "\"", "'", "=", ".", "/", "../", "@", "1", ":", ",", "&", "ä",
                "{{{{", "}}}}", "{{{{/", "raw",
            ]), 0..30)
        ) {
            let text = words.concat();
            if let Err(refused) = fill("t", &text, json!({"a": [1]})) {
                prop_assert_eq!(refused.exit(), Exit::Profile);
            }
        }

        /// A template that is parsed in parts gives the same output as one that is parsed in one piece.
        #[test]
        fn parts_make_the_whole(text in template(), length in 1_usize..100) {
            let values = context(json!({"a": 1, "b": false, "list": ["x", "y"]})).unwrap();
            let templates = Templates::new().unwrap();
            let whole = handlebars::Template::compile_with_name(&text, "t".into());
            match (whole, Template::in_parts("t", text.clone(), length)) {
                (Ok(whole), Ok(parts)) => {
                    let whole = whole.renders(&templates.engine, &values, &mut RenderContext::new(None));
                    prop_assert_eq!(whole.ok(), templates.fill(&parts, &values).ok());
                }
                (Err(_), Ok(_)) => prop_assert!(false, "only the whole is refused"),
                (_, Err(refused)) => prop_assert_eq!(refused.exit(), Exit::Profile),
            }
        }
    }
}
