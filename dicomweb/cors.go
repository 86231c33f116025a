package dicomweb

import "gantry/internal/httpx"

const (
	corsMethods = "GET, HEAD, POST, DELETE, OPTIONS"
	corsHeaders = "Authorization, Content-Type, Accept, If-None-Match, Range"
	corsExposed = "Content-Length, Content-Type, Content-Location, Content-Range, ETag, Location, Retry-After, Warning"
	corsMaxAge  = "86400"
)

// cors sets the headers of the Fetch standard if the request's origin is one of the configured. It tells whether the
// request is a preflight, which is answered without credentials because browsers send none.
func (g *Gateway) cors(c *httpx.Ctx) (preflight bool) {
	preflight = c.Method() == "OPTIONS" && c.Header("Origin") != "" && c.Header("Access-Control-Request-Method") != ""
	if len(g.cfg.CORSOrigins) == 0 {
		return preflight
	}
	c.SetHeader("Vary", "Origin")
	origin := c.Header("Origin")
	if origin == "" || !g.allowedOrigin(origin) {
		return preflight
	}
	c.SetHeader("Access-Control-Allow-Origin", origin)
	c.SetHeader("Access-Control-Expose-Headers", corsExposed)
	if preflight {
		c.SetHeader("Access-Control-Allow-Methods", corsMethods)
		c.SetHeader("Access-Control-Allow-Headers", corsHeaders)
		c.SetHeader("Access-Control-Max-Age", corsMaxAge)
	}
	return preflight
}

func (g *Gateway) allowedOrigin(origin string) bool {
	for _, o := range g.cfg.CORSOrigins {
		if o == "*" || o == origin {
			return true
		}
	}
	return false
}
