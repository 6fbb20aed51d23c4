//! What a provider's entry may say.

use super::*;

#[test]
fn each_provider_fault_is_named() {
    let local =
        |url: &str| with(&format!("[providers.l]\nformat = \"openai-compatible\"\nbase_url = \"{url}\"\n"));
    for (url, words) in [
        ("ftp://h/v1", "must start with http"),
        ("http://user:pw@h/v1", "holds credentials"),
        ("http://h/v1?key=1", "from `?` or `#`"),
        ("http://h:99999/v1", "port"),
        ("no url", "is no URL"),
    ] {
        one_fault(&local(url), "9 providers.l.base_url", words);
    }
    assert_eq!(good(&local("http://h/v1/")).providers[0].base_url, "http://h/v1");
    one_fault(
        &with("[providers.l]\nformat = \"openai-compatible\"\n"),
        "7 providers.l.base_url",
        "is missing",
    );
    one_fault(&with("[providers.g]\nformat = \"palm\"\n"), "8 providers.g.format", "gemini");
    one_fault(
        &with("[providers.a]\nformat = \"anthropic\"\nheaders = { Authorization = \"x\" }\n"),
        "9 providers.a.headers.Authorization",
        "api_key_env",
    );
    one_fault(
        &with("[providers.a]\nformat = \"anthropic\"\nauth_header = \"host\"\n"),
        "9 providers.a.auth_header",
        "api-key",
    );
    let azure = good(
        &(local("http://h/v1") + "auth_header = \"Api-Key\"\nquery = { api-version = \"2024-10-21\" }\n"),
    );
    assert_eq!(azure.providers[0].auth_header.as_deref(), Some("api-key"));
    assert_eq!(azure.providers[0].query, [("api-version".to_owned(), "2024-10-21".to_owned())]);
    let of_each = good(&(local("http://h") + "path = \"/openai/deployments/{model}/chat/completions\"\n"));
    assert_eq!(of_each.providers[0].path.as_deref(), Some("openai/deployments/{model}/chat/completions"));
    for bad in ["x?api-version=1", "", "a//b", "../x", "{deployment}/x"] {
        let text = local("http://h") + &format!("path = \"{bad}\"\n");
        assert!(faults(&text).iter().any(|fault| fault.contains(".path: ")), "{bad}");
    }
    one_fault(
        &with("[providers.a]\nformat = \"gemini\"\napi_key_env = \"A_API_KEY\"\npath = \"x\"\n"),
        "10 providers.a.path",
        "openai",
    );
    let bare = faults("schema_version = 1\n");
    assert!(
        bare[0].starts_with("- providers: there is no provider") && bare[1].starts_with("- models: "),
        "{bare:#?}"
    );
}
