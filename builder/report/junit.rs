//! The report as JUnit XML, which CI systems show: a test case per check.

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::{Check, Outcome, Report};
use crate::failure::{Doing, Result};

/// A whole document, ending with a newline: a suite for the report, or one for each of several.
///
/// # Errors
/// `Exit::Io`, which does not occur: the writer writes to memory.
pub fn junit(reports: &[Report]) -> Result<String> {
    write(reports)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .doing(|| "writing JUnit XML".into())
}

fn write(reports: &[Report]) -> std::io::Result<Vec<u8>> {
    const ALL: &str = "testsuites";
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    match reports {
        [report] => suite(&mut writer, report)?,
        all => {
            writer.write_event(Event::Start(BytesStart::new(ALL)))?;
            all.iter().try_for_each(|report| suite(&mut writer, report))?;
            writer.write_event(Event::End(BytesEnd::new(ALL)))?;
        }
    }
    let mut bytes = writer.into_inner();
    bytes.push(b'\n');
    Ok(bytes)
}

fn suite(writer: &mut Writer<Vec<u8>>, report: &Report) -> std::io::Result<()> {
    let total = report.checks.len().to_string();
    let failed = report.count(Outcome::Failed).to_string();
    let skipped = report.count(Outcome::Skipped).to_string();
    let name = clean(&format!("kiln verify {}", report.cluster));
    let suite = BytesStart::new("testsuite").with_attributes([
        ("name", name.as_str()),
        ("tests", &total),
        ("failures", &failed),
        ("errors", "0"),
        ("skipped", &skipped),
    ]);
    writer.write_event(Event::Start(suite))?;
    for check in &report.checks {
        case(writer, report, check)?;
    }
    writer.write_event(Event::End(BytesEnd::new("testsuite")))
}

fn case(writer: &mut Writer<Vec<u8>>, report: &Report, check: &Check) -> std::io::Result<()> {
    let class = clean(&format!("{}.{}", report.cluster, check.node.as_deref().unwrap_or("cluster")));
    let case = BytesStart::new("testcase")
        .with_attributes([("classname", class.as_str()), ("name", clean(&check.check).as_str())]);
    writer.write_event(Event::Start(case))?;
    let detail = clean(&check.detail);
    match check.outcome {
        Outcome::Ok => text(writer, "system-out", None, &detail)?,
        Outcome::Skipped => text(writer, "skipped", Some(&detail), "")?,
        Outcome::Failed => {
            let way_out = [check.cause.as_deref(), check.way_out.as_deref()];
            let advice = way_out.into_iter().flatten().collect::<Vec<_>>().join(" ");
            text(writer, "failure", Some(&detail), &clean(&advice))?;
        }
    }
    writer.write_event(Event::End(BytesEnd::new("testcase")))
}

fn text(
    writer: &mut Writer<Vec<u8>>,
    element: &str,
    message: Option<&str>,
    body: &str,
) -> std::io::Result<()> {
    let start = BytesStart::new(element).with_attributes(message.map(|message| ("message", message)));
    writer.write_event(Event::Start(start))?;
    writer.write_event(Event::Text(BytesText::new(body)))?;
    writer.write_event(Event::End(BytesEnd::new(element)))
}

/// Control characters are not allowed in XML 1.0, not even escaped; a detail may quote a program's output.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::Fault;

    #[test]
    fn every_check_is_a_case_and_nothing_breaks_out_of_it() {
        let checks = vec![
            Check::ok("versions", Some("cp-a"), "3.5.16"),
            Check::failed("reachable", Some("cp-b"), Fault::Stopped, "said \"<a>&\u{1b}[0m\"</failure>"),
            Check::skipped("one leader", None, "no answer"),
        ];
        let report = Report::new(("ha3".into(), String::new()), Vec::new(), checks, Vec::new());
        let xml = junit(std::slice::from_ref(&report)).unwrap();
        let mut reader = quick_xml::Reader::from_str(&xml);
        let mut names = Vec::new();
        loop {
            match reader.read_event().unwrap() {
                Event::Start(start) => names.push(start.name().0.to_owned()),
                Event::Eof => break,
                _ => {}
            }
        }
        let want = ["testsuite", "testcase", "system-out", "testcase", "failure", "testcase", "skipped"];
        assert_eq!(names, want, "{xml}");
        assert!(xml.contains(r#"tests="3" failures="1" errors="0" skipped="1""#), "{xml}");
        assert!(!xml.contains('\u{1b}'));
        let both = junit(&[report.clone(), report]).unwrap();
        assert_eq!(
            (both.matches("<testsuites>").count(), both.matches("<testsuite ").count()),
            (1, 2),
            "{both}"
        );
    }
}
