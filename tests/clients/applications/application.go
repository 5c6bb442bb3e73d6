// SPDX-License-Identifier: MIT
// A Go application whose sessions are kept as docs/session-store.md says: test_applications.py puts its snippet beside this
// file. Serves on a free port, which it prints, until standard input ends.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io/ioutil"
	"net"
	"net/http"
	"os"
)

type shopper struct{ Visits int }

// idOf is the session's, of the cookie or new.
func idOf(response http.ResponseWriter, request *http.Request) string {
	if cookie, err := request.Cookie("session"); err == nil {
		return cookie.Value
	}
	id := make([]byte, 16)
	rand.Read(id)
	http.SetCookie(response, &http.Cookie{Name: "session", Value: hex.EncodeToString(id)})
	return hex.EncodeToString(id)
}

func visit(response http.ResponseWriter, request *http.Request) {
	var found shopper
	id := idOf(response, request)
	if _, err := sessions.Load(id, &found); err != nil {
		http.Error(response, err.Error(), http.StatusServiceUnavailable)
		return
	}
	found.Visits++
	if err := sessions.Save(id, found); err != nil {
		http.Error(response, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprint(response, found.Visits)
}

func logout(response http.ResponseWriter, request *http.Request) {
	if err := sessions.End(idOf(response, request)); err != nil {
		http.Error(response, err.Error(), http.StatusServiceUnavailable)
	}
}

func main() {
	http.HandleFunc("/visit", visit)
	http.HandleFunc("/logout", logout)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(listener, nil)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	ioutil.ReadAll(os.Stdin)
}
