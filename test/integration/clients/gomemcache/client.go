// Drives gomemcache through everything that it can do over the text dialect.
//
// The contract with the test is in test/support/client-suite.ts. The library cannot log in and has
// no hook where a connection is made; one client that is used by one goroutine keeps to one
// connection, on which the first thing sent is the set that logs in.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

var large = bytes.Repeat([]byte("0123456789abcdef"), 62_500)

func connect() *memcache.Client {
	client := memcache.New(os.Getenv("CLIENT_HOST") + ":" + os.Getenv("CLIENT_PORT"))
	patience, err := strconv.Atoi(os.Getenv("CLIENT_PATIENCE_MS"))
	if err != nil {
		panic(err)
	}
	client.Timeout = time.Duration(patience) * time.Millisecond
	return client
}

func logIn(client *memcache.Client) error {
	credentials := os.Getenv("CLIENT_USER") + " " + os.Getenv("CLIENT_PASSWORD")
	return client.Set(&memcache.Item{Key: "login", Value: []byte(credentials)})
}

func set(client *memcache.Client, key, value string) error {
	return client.Set(&memcache.Item{Key: key, Value: []byte(value)})
}

func equal(seen, expected any) error {
	if reflect.DeepEqual(seen, expected) {
		return nil
	}
	return fmt.Errorf("expected %.200v, saw %.200v", expected, seen)
}

func holds(client *memcache.Client, key, value string) error {
	item, err := client.Get(key)
	if err != nil {
		return fmt.Errorf("get %.50s: %w", key, err)
	}
	return equal(string(item.Value), value)
}

func misses(client *memcache.Client, key string) error {
	_, err := client.Get(key)
	return equal(err, memcache.ErrCacheMiss)
}

// first returns the first error of several checks, all of which were made.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func count(call func(string, uint64) (uint64, error), key string, delta, expected uint64) error {
	seen, err := call(key, delta)
	return first(err, equal(seen, expected))
}

var checks = []struct {
	name string
	run  func(*memcache.Client) error
}{
	{"Get", func(client *memcache.Client) error {
		return first(misses(client, "get"), set(client, "get", "wörd"), holds(client, "get", "wörd"))
	}},
	{"GetMulti", func(client *memcache.Client) error {
		var keys []string
		for index := 0; index < 1100; index++ {
			key := fmt.Sprintf("multi-%d", index)
			keys = append(keys, key)
			if index < 1000 {
				if err := set(client, key, "value of "+key); err != nil {
					return err
				}
			}
		}
		items, err := client.GetMulti(keys)
		if err != nil {
			return err
		}
		return first(equal(len(items), 1000), equal(string(items["multi-999"].Value), "value of multi-999"))
	}},
	{"Set", func(client *memcache.Client) error {
		return first(
			set(client, "set", "one"), set(client, "set", "two"), holds(client, "set", "two"),
			set(client, "set", ""), holds(client, "set", ""),
		)
	}},
	{"Set with expiry", func(client *memcache.Client) error {
		past := client.Set(&memcache.Item{Key: "expired", Value: []byte("x"), Expiration: -1})
		long := client.Set(&memcache.Item{Key: "expiry", Value: []byte("long"), Expiration: 100})
		there := holds(client, "expiry", "long")
		short := client.Set(&memcache.Item{Key: "expiry", Value: []byte("short"), Expiration: 1})
		if err := first(past, misses(client, "expired"), long, there, short); err != nil {
			return err
		}
		for deadline := time.Now().Add(10 * time.Second); misses(client, "expiry") != nil; {
			if time.Now().After(deadline) {
				return errors.New("the item did not expire")
			}
			time.Sleep(50 * time.Millisecond)
		}
		return nil
	}},
	{"Add", func(client *memcache.Client) error {
		one := client.Add(&memcache.Item{Key: "add", Value: []byte("one")})
		two := client.Add(&memcache.Item{Key: "add", Value: []byte("two")})
		return first(one, equal(two, memcache.ErrNotStored), holds(client, "add", "one"))
	}},
	{"Replace", func(client *memcache.Client) error {
		missing := client.Replace(&memcache.Item{Key: "replace", Value: []byte("x")})
		before := set(client, "replace", "old")
		after := client.Replace(&memcache.Item{Key: "replace", Value: []byte("new")})
		return first(equal(missing, memcache.ErrNotStored), before, after, holds(client, "replace", "new"))
	}},
	{"CompareAndSwap", func(client *memcache.Client) error {
		if err := set(client, "cas", "one"); err != nil {
			return err
		}
		item, err := client.Get("cas")
		if err != nil {
			return err
		}
		item.Value = []byte("two")
		swapped := client.CompareAndSwap(item)
		item.Value = []byte("three")
		conflict := equal(client.CompareAndSwap(item), memcache.ErrCASConflict)
		kept := holds(client, "cas", "two")
		deleted := client.Delete("cas")
		gone := equal(client.CompareAndSwap(item), memcache.ErrCacheMiss)
		return first(swapped, conflict, kept, deleted, gone)
	}},
	{"Delete", func(client *memcache.Client) error {
		missing := equal(client.Delete("delete"), memcache.ErrCacheMiss)
		return first(missing, set(client, "delete", "x"), client.Delete("delete"), misses(client, "delete"))
	}},
	{"Increment and Decrement", func(client *memcache.Client) error {
		_, missing := client.Increment("number", 1)
		return first(
			equal(missing, memcache.ErrCacheMiss),
			set(client, "number", "10"),
			count(client.Increment, "number", 5, 15),
			count(client.Decrement, "number", 3, 12),
			count(client.Decrement, "number", 100, 0),
			set(client, "number", "18446744073709551614"),
			count(client.Increment, "number", 1, 18446744073709551615),
			count(client.Increment, "number", 1, 0),
		)
	}},
	{"Touch", func(client *memcache.Client) error {
		missing := equal(client.Touch("touch", 100), memcache.ErrCacheMiss)
		return first(
			missing, set(client, "touch", "x"), client.Touch("touch", 100), holds(client, "touch", "x"),
			client.Touch("touch", -1), misses(client, "touch"),
		)
	}},
	{"flags", func(client *memcache.Client) error {
		stored := client.Set(&memcache.Item{Key: "flags", Value: []byte("x"), Flags: 0xffffffff})
		item, err := client.Get("flags")
		if err != nil {
			return err
		}
		return first(stored, equal(item.Flags, uint32(0xffffffff)))
	}},
	{"binary values", func(client *memcache.Client) error {
		var value []byte
		for each := 0; each < 256; each++ {
			value = append(value, byte(each))
		}
		text := string(value) + "\r\nEND\r\nVALUE x 0 1\r\n"
		return first(set(client, "binary", text), holds(client, "binary", text))
	}},
	{"large values", func(client *memcache.Client) error {
		stored := client.Set(&memcache.Item{Key: "large", Value: large})
		item, err := client.Get("large")
		if err != nil {
			return err
		}
		return first(stored, equal(bytes.Equal(item.Value, large), true))
	}},
	{"long and odd keys", func(client *memcache.Client) error {
		for _, key := range []string{"k", strings.Repeat("k", 250), "a:b/c?d", "~^-_"} {
			if err := first(set(client, key, key), holds(client, key, key)); err != nil {
				return err
			}
		}
		return equal(set(client, strings.Repeat("k", 251), "x"), memcache.ErrMalformedKey)
	}},
	{"DeleteAll", func(client *memcache.Client) error {
		return first(set(client, "all", "x"), client.DeleteAll(), misses(client, "all"))
	}},
	{"FlushAll", func(client *memcache.Client) error {
		return first(set(client, "flush", "x"), client.FlushAll(), misses(client, "flush"))
	}},
	// Last: the library drops the connection on an answer that it does not know, and the next one
	// has to log in again.
	{"Increment of a word", func(client *memcache.Client) error {
		if err := set(client, "word", "no number"); err != nil {
			return err
		}
		_, err := client.Increment("word", 1)
		if err == nil || !strings.Contains(err.Error(), "non-numeric value") {
			return fmt.Errorf("not the error of a word: %v", err)
		}
		return logIn(client)
	}},
	{"a value too large", func(client *memcache.Client) error {
		err := set(client, "too-large", strings.Repeat("x", 1024*1024))
		if err == nil || !strings.Contains(err.Error(), "object too large for cache") {
			return fmt.Errorf("not the error of a large value: %v", err)
		}
		return first(logIn(client), misses(client, "too-large"), set(client, "too-large", "new"))
	}},
}

func main() {
	mode := os.Args[len(os.Args)-1]
	client := connect()
	var err error
	if mode != "stranger" {
		err = logIn(client)
	}
	if err == nil && mode != "operations" {
		if _, err = client.Get("missing"); err == memcache.ErrCacheMiss {
			err = nil
		}
	}
	switch {
	case err != nil:
		fmt.Printf("refused: %v\n", err)
	case mode != "operations":
		fmt.Println("accepted")
	default:
		for _, check := range checks {
			if err := check.run(client); err != nil {
				fmt.Printf("not ok - %s: %s\n", check.name, strings.ReplaceAll(err.Error(), "\n", " "))
			} else {
				fmt.Printf("ok - %s\n", check.name)
			}
		}
	}
}
