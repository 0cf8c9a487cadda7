//! The page where the official console lives: what this node knows of its cluster and its services, to be read.
//!
//! It changes nothing, needs no further endpoint (official nodes serve a page here too), and has no script at all:
//! the browser asks again by itself. Whatever clients named is escaped, and the page's own policy would run no script
//! even if something came through.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::request::Request;
use super::response::Response;
use super::routes::Answer;
use crate::clock;
use crate::cluster::member::Member;
use crate::naming::registry::Registry;
use crate::naming::service::Service;
use crate::node::Node;
use crate::telemetry::metrics::{self, Backlog};

/// Rows of a table; the rest is counted, and found by searching.
const ROWS_MAX: usize = 100;
/// Characters shown of a name.
const NAME_CHARS_MAX: usize = 200;
/// How often the browser asks again, seconds.
const REFRESH_S: u32 = 10;
const STYLE: &str = include_str!("console_page.css");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'";

/// The page.
pub fn page<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async move {
        let given = |name| request.params.spring_optional(name, "").to_owned();
        let asked = Asked {
            search: given("search"),
            namespace: given("namespace"),
            service: given("service"),
            still: !given("still").is_empty(),
        };
        Ok(Response {
            status: 200,
            content_type: Some("text/html;charset=UTF-8".to_owned()),
            headers: vec![
                ("cache-control", "no-store".to_owned()),
                ("content-security-policy", POLICY.to_owned()),
                ("x-content-type-options", "nosniff".to_owned()),
            ],
            body: render(node, &asked).into(),
            chunked: false,
        })
    })
}

/// What the reader asked for.
#[derive(Debug, Default)]
struct Asked {
    /// Part of a service's name.
    search: String,
    namespace: String,
    /// Grouped name of the service whose instances are shown.
    service: String,
    /// Without refreshing by itself: for reading, and for typing.
    still: bool,
}

fn render(node: &Arc<Node>, asked: &Asked) -> String {
    let mut html = String::with_capacity(16 << 10);
    let own = node.members.self_address();
    let mode = if node.settings.standalone { "standalone" } else { "cluster" };
    // Writing to a string does not fail.
    let _ = writeln!(
        html,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">{refresh}\
         <title>{own} · Tandem</title><link rel=\"icon\" href=\"data:,\"><style>{STYLE}</style></head><body>\n\
         <header><h1>{own}</h1><p>Tandem {version}, speaks Nacos 1.4.1 · {mode} · <b>{status}</b></p></header>\n",
        own = text(own),
        version = env!("CARGO_PKG_VERSION"),
        status = node.status.current().as_str(),
        refresh = if asked.still { String::new() } else { refresh_tag() },
    );
    members(&mut html, node);
    if asked.service.is_empty() {
        services(&mut html, node, asked);
    } else {
        instances(&mut html, node, asked);
    }
    let footer = if asked.still {
        "Read only. <a href=\"?\">Refresh by itself</a>".to_owned()
    } else {
        format!("Read only; refreshes every {REFRESH_S} s. <a href=\"?still=1\">Hold still</a>")
    };
    let _ = writeln!(html, "<footer>{footer}</footer></body></html>");
    html
}

fn refresh_tag() -> String {
    format!("<meta http-equiv=\"refresh\" content=\"{REFRESH_S}\">")
}

fn members(html: &mut String, node: &Arc<Node>) {
    let members = node.members.all();
    let backlogs: BTreeMap<String, Backlog> = metrics::backlogs();
    let _ = write!(
        html,
        "<section><h2>Members <small>{}</small></h2><div class=\"scroll\"><table><thead><tr><th>Address</th>\
         <th>State</th>\
         <th>Kind</th><th class=\"n\">Failed reports</th><th class=\"n\">Changes waiting</th>\
         <th class=\"n\">Lag</th><th class=\"n\">Failed messages</th></tr></thead><tbody>",
        members.len()
    );
    for member in members.iter().take(ROWS_MAX) {
        let is_self = member.address == node.members.self_address();
        let state = format!("{:?}", member.state).to_uppercase();
        let lag = match backlogs.get(&member.address).filter(|_| !is_self) {
            Some(it) => format!(
                "<td class=\"n\">{} services</td><td class=\"n\">{:.1} s</td><td class=\"n\">{}</td>",
                it.services, it.oldest_s, it.failures
            ),
            None => "<td class=\"n\">–</td><td class=\"n\">–</td><td class=\"n\">–</td>".to_owned(),
        };
        let _ = writeln!(
            html,
            "<tr><th>{}{}</th><td class=\"{}\">{}</td><td>{}</td><td class=\"n\">{}</td>{lag}</tr>",
            text(&member.address),
            if is_self { " <small>this node</small>" } else { "" },
            if member.state.is_healthy() { "good" } else { "bad" },
            text(&state),
            text(&kind(member, is_self)),
            member.fail_access_cnt,
        );
    }
    html.push_str("</tbody></table></div>");
    if members.len() > 1 {
        html.push_str(
            "<p><small>Lag is the age of the oldest change a member has not acknowledged; – where nothing was sent \
             yet.</small></p>",
        );
    }
    more(html, members.len());
    html.push_str("</section>\n");
}

/// What a member said it is.
fn kind(member: &Member, is_self: bool) -> String {
    if is_self || member.is_tandem() {
        return "Tandem".to_owned();
    }
    match member.extend_text("version") {
        Some(version) => format!("Nacos {version}"),
        None => "unknown: it has not reported yet".to_owned(),
    }
}

/// Services that match, in a fixed order.
fn matching(registry: &Registry, asked: &Asked) -> Vec<Arc<Service>> {
    let search = asked.search.to_lowercase();
    let mut found = registry.services();
    found.retain(|it| {
        (asked.namespace.is_empty() || *it.id().namespace == *asked.namespace)
            && (search.is_empty() || it.id().name.to_lowercase().contains(&search))
    });
    found.sort_by(|a, b| (&a.id().namespace, &a.id().name).cmp(&(&b.id().namespace, &b.id().name)));
    found
}

fn services(html: &mut String, node: &Arc<Node>, asked: &Asked) {
    let found = matching(&node.registry, asked);
    let instances: usize = found.iter().map(|it| it.read().all().count()).sum();
    let _ = writeln!(
        html,
        "<section><h2>Services <small>{} with {instances} instances</small></h2>\
         <form><input type=\"hidden\" name=\"still\" value=\"1\"><input name=\"search\" value=\"{}\"\
         \x20placeholder=\"part of a name\" aria-label=\"Part of a name\">\
         <button>Search</button></form><div class=\"scroll\"><table><thead><tr><th>Service</th><th>Namespace</th>\
         <th class=\"n\">Instances</th><th class=\"n\">Healthy</th><th>Responsible</th></tr></thead><tbody>",
        found.len(),
        text(&asked.search)
    );
    for service in found.iter().take(ROWS_MAX) {
        let id = service.id();
        let (all, healthy) = {
            let state = service.read();
            (state.all().count(), state.all().filter(|it| it.healthy).count())
        };
        let owner = node.members.owner(&id.name).unwrap_or_else(|| node.members.self_address().to_owned());
        let _ = writeln!(
            html,
            "<tr><th><a href=\"?namespace={}&amp;service={}\">{}</a></th><td>{}</td><td class=\"n\">{all}</td>\
             <td class=\"n{}\">{healthy}</td><td>{}</td></tr>",
            query(&id.namespace),
            query(&id.name),
            text(&id.name),
            text(&id.namespace),
            if healthy < all { " bad" } else { "" },
            text(&owner)
        );
    }
    html.push_str("</tbody></table></div>");
    more(html, found.len());
    html.push_str("</section>\n");
}

fn instances(html: &mut String, node: &Arc<Node>, asked: &Asked) {
    let _ = writeln!(
        html,
        "<section><p><a href=\"?\">All services</a></p><h2>{} <small>{}</small></h2>",
        text(&asked.service),
        text(&asked.namespace)
    );
    let Some(service) = node.registry.find(&asked.namespace, &asked.service) else {
        html.push_str("<p>There is no such service on this node.</p></section>\n");
        return;
    };
    let now = clock::now_ms();
    html.push_str(
        "<div class=\"scroll\"><table><thead><tr><th>Instance</th><th>Cluster</th><th>Healthy</th><th>Enabled</th>\
         <th class=\"n\">Weight</th><th>Kind</th><th class=\"n\">Last beat</th><th>Metadata</th></tr></thead><tbody>",
    );
    let state = service.read();
    for instance in state.all().take(ROWS_MAX) {
        let beat = if instance.ephemeral && instance.last_beat > 0 {
            format!("{:.1} s ago", (now - instance.last_beat).max(0) as f64 / 1000.0)
        } else {
            "–".to_owned()
        };
        let pairs = instance.metadata.iter().flatten().map(|(key, value)| format!("{key}={value}"));
        let metadata = pairs.take(20).collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            html,
            "<tr><th>{}</th><td>{}</td><td class=\"{}\">{}</td><td>{}</td><td class=\"n\">{}</td><td>{}</td>\
             <td class=\"n\">{beat}</td><td>{}</td></tr>",
            text(&format!("{}:{}", instance.ip, instance.port)),
            text(&instance.cluster_name),
            if instance.healthy { "good" } else { "bad" },
            if instance.healthy { "yes" } else { "no" },
            if instance.enabled { "yes" } else { "no" },
            instance.weight,
            if instance.ephemeral { "ephemeral" } else { "persistent" },
            text(&metadata)
        );
    }
    let all = state.all().count();
    drop(state);
    html.push_str("</tbody></table></div>");
    more(html, all);
    html.push_str("</section>\n");
}

fn more(html: &mut String, all: usize) {
    if all > ROWS_MAX {
        let _ = write!(html, "<p>{} more are not shown.</p>", all - ROWS_MAX);
    }
}

/// Foreign text as text: cut, markup escaped, what cannot be seen made visible.
fn text(foreign: &str) -> String {
    let mut out = String::with_capacity(foreign.len());
    for (at, c) in foreign.chars().enumerate() {
        if at == NAME_CHARS_MAX {
            out.push('…');
            break;
        }
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Characters that reorder the text around them would let one name look like another.
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn query(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_stays_markup() {
        assert_eq!(text("<script>alert('\"&\u{202e}\n"), "&lt;script&gt;alert(&#39;&quot;&amp;\u{fffd}\u{fffd}");
        assert_eq!(text(&"x".repeat(1000)).chars().count(), NAME_CHARS_MAX + 1);
        assert_eq!(query("a@@b&c=\"<"), "a%40%40b%26c%3D%22%3C");
    }
}
