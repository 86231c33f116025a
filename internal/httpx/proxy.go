package httpx

import (
	"net/netip"
	"strings"
)

// forwarded is what trusted proxies say about the client's connection to the
// outermost of them.
type forwarded struct {
	client netip.Addr // invalid: they don't say
	scheme string     // "", "http" or "https"
	host   string     // "": they don't say
}

var notForwarded forwarded // never written to

// maxForwardedHops bounds how far back a chain of proxies is followed.
const maxForwardedHops = 16

// RemoteIP is the client's address: the peer's, or if that is a trusted proxy,
// the nearest address in its Forwarded (RFC 7239) or X-Forwarded-For header
// that isn't one.
func (c *Ctx) RemoteIP() netip.Addr {
	if f := c.forwardedInfo(); f.client.IsValid() {
		return f.client
	}
	return c.conn.peer
}

// Scheme is "https" or "http": what the client used to reach us or the outermost trusted proxy.
func (c *Ctx) Scheme() string {
	if s := c.forwardedInfo().scheme; s != "" {
		return s
	}
	if c.IsTLS() {
		return "https"
	}
	return "http"
}

// PublicHost is the host, with port if any, under which the client knows us:
// what the outermost trusted proxy was asked for, else Host, else, for HTTP/1.0 may come
// without one, the address that it has connected to.
func (c *Ctx) PublicHost() string {
	if h := c.forwardedInfo().host; h != "" {
		return h
	}
	if h := c.Host(); h != "" {
		return h
	}
	return c.rc.LocalAddr().String()
}

func (c *Ctx) forwardedInfo() *forwarded {
	if c.forwarded == nil {
		c.forwarded = &notForwarded
		if c.srv.trusts(c.conn.peer) {
			c.forwarded = &forwarded{}
			if all := c.Headers("Forwarded"); len(all) > 0 {
				*c.forwarded = c.srv.parseForwarded(all)
			} else {
				*c.forwarded = c.srv.parseXForwarded(c.Headers("X-Forwarded-For"),
					c.Headers("X-Forwarded-Proto"), c.Headers("X-Forwarded-Host"))
			}
		}
	}
	return c.forwarded
}

func (s *Server) trusts(ip netip.Addr) bool {
	for _, p := range s.cfg.TrustedProxies {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// parseForwarded follows the hops from the nearest to the first that names a
// client which isn't itself a trusted proxy.
func (s *Server) parseForwarded(values []string) forwarded {
	var out forwarded
	hops := SplitUnquoted(strings.Join(values, ","), ',')
	for i := len(hops) - 1; i >= 0 && i >= len(hops)-maxForwardedHops; i-- {
		hop := forwarded{}
		for _, pair := range SplitUnquoted(hops[i], ';') {
			k, v, _ := strings.Cut(strings.TrimSpace(pair), "=")
			v = unquote(v)
			switch strings.ToLower(k) {
			case "for":
				hop.client = parseNode(v)
			case "proto":
				hop.scheme = cleanScheme(v)
			case "host":
				hop.host = cleanHost(v)
			}
		}
		out = hop
		if !hop.client.IsValid() || !s.trusts(hop.client) {
			break
		}
	}
	return out
}

// parseXForwarded does the same for the older headers. Proxies append to
// X-Forwarded-For, but usually replace the others.
func (s *Server) parseXForwarded(xff, proto, host []string) forwarded {
	var out forwarded
	hops := SplitUnquoted(strings.Join(xff, ","), ',')
	at := len(hops) - 1
	for i := at; i >= 0 && i >= len(hops)-maxForwardedHops; i-- {
		ip := parseNode(strings.TrimSpace(hops[i]))
		if !ip.IsValid() {
			break
		}
		out.client, at = ip, i
		if !s.trusts(ip) {
			break
		}
	}
	out.scheme = cleanScheme(pick(proto, at, len(hops)))
	out.host = cleanHost(pick(host, at, len(hops)))
	return out
}

// pick takes the value that belongs to hop at, if there is one per hop, else the nearest proxy's.
func pick(values []string, at, hops int) string {
	list := strings.Split(strings.Join(values, ","), ",")
	if len(list) == hops && at >= 0 {
		return strings.TrimSpace(list[at])
	}
	return strings.TrimSpace(list[len(list)-1])
}

// SplitUnquoted splits the value of a header at sep, but not inside quoted strings (RFC 9110 5.6.4).
func SplitUnquoted(s string, sep byte) []string {
	var out []string
	quoted, from := false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			out, from = append(out, s[from:i]), i+1
		}
	}
	return append(out, s[from:])
}

func unquote(s string) string {
	s = strings.TrimSpace(s)
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	return strings.ReplaceAll(s[1:len(s)-1], `\`, "")
}

// parseNode reads an address as proxies write it: with or without port, IPv6 with or without brackets.
func parseNode(s string) netip.Addr {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		return netip.Addr{}
	}
	return ip.Unmap().WithZone("")
}

func cleanScheme(s string) string {
	switch s = strings.ToLower(s); s {
	case "http", "https":
		return s
	}
	return ""
}

// cleanHost keeps what can stand in a URL's authority, for it will.
func cleanHost(s string) string {
	const maxHost = 261 // a name of 255 and a port
	if len(s) > maxHost {
		return ""
	}
	for i := 0; i < len(s); i++ {
		ch := s[i]
		ok := ch >= 'a' && ch <= 'z' || ch >= 'A' && ch <= 'Z' || ch >= '0' && ch <= '9' ||
			strings.IndexByte(".-_:[]", ch) >= 0
		if !ok {
			return ""
		}
	}
	return s
}
