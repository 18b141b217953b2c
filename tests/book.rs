//! The project's pages: every link leads somewhere, and the book has every page. They are read as a
//! site that hosts the code shows them; ci/book makes the book from the same files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path};

use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// The book's list of contents.
const SUMMARY: &str = "docs/SUMMARY.md";
/// What ci/book copies into the book besides pages, by the beginnings of its paths.
const COPIED: [&str; 4] = ["LICENSE-", "benches/results/", "docs/", "packaging/"];

/// What a page has that concerns other pages.
#[derive(Debug, Default)]
struct Page {
    /// Where its links and pictures lead, as they are written.
    links: Vec<String>,
    /// The ends of the addresses of its titles.
    anchors: BTreeSet<String>,
}

impl Page {
    fn read(text: &str) -> Self {
        let mut page = Self::default();
        let mut title: Option<String> = None;
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { link_type: LinkType::Autolink | LinkType::Email, .. }) => {}
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => title = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let name = anchor(&title.take().expect("a title began"));
                    let earlier = (0..).map(|count| if count == 0 { name.clone() } else { format!("{name}-{count}") });
                    let free = earlier.into_iter().find(|name| !page.anchors.contains(name));
                    page.anchors.extend(free);
                }
                Event::Text(text) | Event::Code(text) => {
                    if let Some(title) = &mut title {
                        title.push_str(&text);
                    }
                }
                _ => {}
            }
        }
        page
    }
}

/// The end of the address of a title, as sites that host code and mdBook both make it.
fn anchor(title: &str) -> String {
    let part = |c: char| match c {
        c if c.is_alphanumeric() || c == '_' || c == '-' => Some(c.to_ascii_lowercase()),
        c if c.is_whitespace() => Some('-'),
        _ => None,
    };
    title.trim().chars().filter_map(part).collect()
}

/// The project's pages by their paths, without those of tests.
fn pages() -> BTreeMap<String, Page> {
    let mut pages = BTreeMap::new();
    collect("", false, &mut pages);
    collect("docs", true, &mut pages);
    collect("packaging", true, &mut pages);
    collect("emulators", true, &mut pages);
    pages
}

/// Adds the pages in a directory, which need not exist, and perhaps those below it.
fn collect(directory: &str, below: bool, pages: &mut BTreeMap<String, Page>) {
    for entry in fs::read_dir(Path::new(ROOT).join(directory)).into_iter().flatten() {
        let entry = entry.unwrap();
        let path = joined(directory, &entry.file_name().into_string().unwrap()).expect("it is in the project");
        if entry.file_type().unwrap().is_dir() {
            if below {
                collect(&path, true, pages);
            }
        } else if path.ends_with(".md") {
            pages.insert(path, Page::read(&fs::read_to_string(entry.path()).unwrap()));
        }
    }
}

/// The path to which `link` leads from `directory`; `None` if it leads out of the project.
fn joined(directory: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for component in Path::new(link).components() {
        match component {
            Component::ParentDir => _ = parts.pop()?,
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

/// Path and anchor to which a link of the page `from` leads; `None` if it leads to another site.
/// mdBook's chapters that are made later have no path.
fn destination<'l>(from: &str, link: &'l str) -> Option<(Option<String>, Option<&'l str>)> {
    if link.is_empty() || ["https://", "http://", "mailto:"].iter().any(|scheme| link.starts_with(scheme)) {
        return None;
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let directory = from.rsplit_once('/').map_or("", |(directory, _)| directory);
    let path = if path.is_empty() { Some(from.to_owned()) } else { joined(directory, path) };
    Some((path, anchor))
}

/// What is wrong with the links of these pages. `exists` says whether a path leads to a file.
fn broken(pages: &BTreeMap<String, Page>, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut broken = Vec::new();
    for (from, page) in pages {
        for link in &page.links {
            let problem = match destination(from, link) {
                None => continue,
                Some((None, _)) => "leads out of the project",
                Some((Some(path), _)) if !exists(&path) => "there is no such file",
                Some((Some(path), Some(anchor))) => match pages.get(&path) {
                    Some(other) if other.anchors.contains(anchor) => continue,
                    _ => "that page has no such title",
                },
                Some((Some(_), None)) => continue,
            };
            broken.push(format!("{from}: {link}: {problem}"));
        }
    }
    broken
}

/// The pages that the list of contents names, in its order.
fn contents(pages: &BTreeMap<String, Page>) -> Vec<String> {
    let links = pages[SUMMARY].links.iter();
    links.filter_map(|link| destination(SUMMARY, link)?.0).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let links: usize = pages.values().map(|page| page.links.len()).sum();
    assert!(pages.len() > 20 && links > 200, "{} pages, {links} links", pages.len());
    let broken = broken(&pages, |path| Path::new(ROOT).join(path).is_file());
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_book_has_every_page_once() {
    let pages = pages();
    let contents = contents(&pages);
    let once: BTreeSet<&String> = contents.iter().collect();
    assert_eq!(once.len(), contents.len(), "{SUMMARY} names a page twice: {contents:?}");
    let missing: Vec<&String> = pages.keys().filter(|path| *path != SUMMARY && !contents.contains(path)).collect();
    assert!(missing.is_empty(), "{SUMMARY} lacks {missing:?}");
}

#[test]
fn the_book_has_everything_that_its_pages_lead_to() {
    let pages = pages();
    let contents = contents(&pages);
    let mut missing = Vec::new();
    for from in &contents {
        let links = pages[from].links.iter().filter_map(|link| destination(from, link)?.0);
        let is_there = |path: &String| match path.ends_with(".md") {
            true => contents.contains(path),
            false => COPIED.iter().any(|beginning| path.starts_with(beginning)),
        };
        missing.extend(links.filter(|path| !is_there(path)).map(|path| format!("{from}: {path}")));
    }
    assert!(missing.is_empty(), "the book lacks\n{}", missing.join("\n"));
}

#[test]
fn what_is_broken_is_found() {
    let page = |text: &str| Page::read(text);
    let pages = BTreeMap::from([
        (
            "docs/a.md".to_owned(),
            page(
                "# A `b`: c?\n## A b c\n[1](#a-b-c) [2](b.md#it-s) [3](../c.md) [4](../../x) [5](b.md#its-1)\n\
                 | t |\n|---|\n| ![6](no.svg) |\n\n[7](https://example.org/x.md) `[8](code.md)`\n\n[9](#a-b)\n",
            ),
        ),
        ("docs/b.md".to_owned(), page("## It's\n## It's\n[r]\n\n[r]: a.md#a-b-c-1\n")),
    ]);
    assert_eq!(pages["docs/b.md"].anchors, ["its", "its-1"].map(str::to_owned).into());
    let found = broken(&pages, |path| pages.contains_key(path));
    let expected = [
        "docs/a.md: b.md#it-s: that page has no such title",
        "docs/a.md: ../c.md: there is no such file",
        "docs/a.md: ../../x: leads out of the project",
        "docs/a.md: no.svg: there is no such file",
        "docs/a.md: #a-b: that page has no such title",
    ];
    assert_eq!(found, expected);
}
