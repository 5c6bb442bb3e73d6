// SPDX-License-Identifier: MIT
// client commands|write|read|down PREFIX: gomemcache (compiled and run by conftest.py).
package main

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

var big = []byte(strings.Repeat("0123456789", 20000))

type check struct {
	client *memcache.Client
	prefix string
}

func binary() []byte {
	all := make([]byte, 0, 263)
	for i := 0; i < 256; i++ {
		all = append(all, byte(i))
	}
	return append(all, "\r\nEND\r\n"...)
}

func same(found, expected interface{}, what string) {
	if !reflect.DeepEqual(found, expected) {
		fmt.Printf("not ok: %s: %.200v is not %.200v\n", what, found, expected)
		os.Exit(1)
	}
}

func (c check) item(name, value string, seconds int32) *memcache.Item {
	return &memcache.Item{Key: c.prefix + name, Value: []byte(value), Expiration: seconds}
}

func (c check) value(name, expected string) {
	item, err := c.client.Get(c.prefix + name)
	same(err, nil, "get "+name)
	same(string(item.Value), expected, name)
}

func (c check) miss(name string) {
	_, err := c.client.Get(c.prefix + name)
	same(err, memcache.ErrCacheMiss, "get "+name)
}

func (c check) set(name, value string, seconds int32) {
	same(c.client.Set(c.item(name, value, seconds)), nil, "set "+name)
}

func (c check) oneKey() {
	c.miss("k")
	same(c.client.Add(c.item("k", "v", 0)), nil, "add")
	same(c.client.Add(c.item("k", "w", 0)), memcache.ErrNotStored, "add what is there")
	same(c.client.Replace(c.item("none", "w", 0)), memcache.ErrNotStored, "replace what is not there")
	same(c.client.Replace(c.item("k", "x", 0)), nil, "replace")
	c.value("k", "x")
	same(c.client.Touch(c.prefix+"k", 100), nil, "touch")
	same(c.client.Touch(c.prefix+"none", 100), memcache.ErrCacheMiss, "touch what is not there")
	same(c.client.Delete(c.prefix+"k"), nil, "delete")
	same(c.client.Delete(c.prefix+"k"), memcache.ErrCacheMiss, "delete what is not there")
}

func (c check) compared() {
	c.set("c", "first", 0)
	item, _ := c.client.Get(c.prefix + "c")
	item.Value = []byte("second")
	same(c.client.CompareAndSwap(item), nil, "cas")
	item.Value = []byte("third")
	same(c.client.CompareAndSwap(item), memcache.ErrCASConflict, "cas with an old token")
	c.value("c", "second")
}

func (c check) counted() {
	c.set("n", "10", 0)
	now, err := c.client.Increment(c.prefix+"n", 5)
	same(now, uint64(15), "incr")
	same(err, nil, "incr")
	now, _ = c.client.Decrement(c.prefix+"n", 100)
	same(now, uint64(0), "decr stops at 0")
}

func (c check) many() {
	keys := []string{c.prefix + "none"}
	for i := 0; i < 300; i++ {
		name := fmt.Sprint(i)
		c.set(name, "value "+name, 0)
		keys = append(keys, c.prefix+name)
	}
	found, err := c.client.GetMulti(keys)
	same(err, nil, "get of many")
	same(len(found), 300, "get of many")
	same(string(found[c.prefix+"299"].Value), "value 299", "the last of many")
}

func (c check) commands() {
	c.oneKey()
	c.compared()
	c.counted()
	c.many()
	item := c.item("flags", "v", 0)
	item.Flags = 4294967295
	same(c.client.Set(item), nil, "set with flags")
	item, _ = c.client.Get(c.prefix + "flags")
	same(item.Flags, uint32(4294967295), "flags")
	c.set("binary", string(binary()), 0)
	c.value("binary", string(binary()))
	c.set("short", "v", 1)
	for i := 0; i < 200; i++ {
		if _, err := c.client.Get(c.prefix + "short"); err != nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.miss("short")
}

func (c check) write() {
	c.set("plain", "value", 600)
	c.set("binary", string(binary()), 600)
	c.set("big", string(big), 600)
	c.set("overwritten", "first", 600)
	c.set("overwritten", "second", 600)
	c.set("deleted", "gone", 600)
	same(c.client.Delete(c.prefix+"deleted"), nil, "delete")
	c.set("counter", "10", 600)
	now, _ := c.client.Increment(c.prefix+"counter", 2)
	same(now, uint64(12), "incr")
	c.set("touched", "longer", 600)
	same(c.client.Touch(c.prefix+"touched", 3600), nil, "touch")
}

func (c check) read() {
	c.value("plain", "value")
	c.value("overwritten", "second")
	c.miss("deleted")
	c.value("counter", "12")
	c.value("touched", "longer")
	item, _ := c.client.Get(c.prefix + "binary")
	same(bytes.Equal(item.Value, binary()), true, "binary")
	item, _ = c.client.Get(c.prefix + "big")
	same(bytes.Equal(item.Value, big), true, "big")
}

func word(err error, missing bool) string {
	if err == memcache.ErrCacheMiss || err == nil && missing {
		return "miss"
	}
	if err == nil {
		return "hit"
	}
	return "failure"
}

// down is what test_backend_down.py asks.
func (c check) down() {
	_, err := c.client.Get(c.prefix + "k")
	fmt.Println("get", word(err, false))
	found, err := c.client.GetMulti([]string{c.prefix + "here", c.prefix + "k"})
	fmt.Println("many", word(err, found[c.prefix+"k"] == nil))
}

func main() {
	c := check{memcache.New("127.0.0.1:" + os.Getenv("PORT")), os.Args[2]}
	c.client.Timeout = 20 * time.Second
	map[string]func(){"commands": c.commands, "write": c.write, "read": c.read, "down": c.down}[os.Args[1]]()
}
