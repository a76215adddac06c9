// Answers requests as a CGI script does (RFC 3875), which the standard library makes a server of.
package main

import (
	"cmp"
	"fmt"
	"log"
	"net/http"
	"net/http/cgi"
	"os"
)

func main() {
	if err := cgi.Serve(http.HandlerFunc(answer)); err != nil {
		log.Fatal(err)
	}
}

func answer(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s from {{name}}, you asked for %s\n", cmp.Or(os.Getenv("GREETING"), "hello"), r.URL.RequestURI())
}
