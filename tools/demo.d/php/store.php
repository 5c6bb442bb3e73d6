<?php
// SPDX-License-Identifier: MIT
// What the shop keeps in Forebay, beside the sessions.

class Failure extends Exception
{
}

class Store
{
    private Memcached $client;

    public function __construct(int $port)
    {
        $this->client = new Memcached();
        $this->client->setOptions([Memcached::OPT_BINARY_PROTOCOL => true, Memcached::OPT_TCP_NODELAY => true,
                                   Memcached::OPT_COMPRESSION => false]); // the other stacks read the same carts
        $this->client->addServer('127.0.0.1', $port);
    }

    // $answer, unless it is false for another reason than those in $expected.
    private function checked($answer, int ...$expected)
    {
        if ($answer === false && !in_array($this->client->getResultCode(), $expected, true)) {
            throw $this->failure();
        }
        return $answer;
    }

    private function failure(): Failure
    {
        if ($this->client->getResultCode() === Memcached::RES_SUCCESS) { // so it says of a connection that was closed meanwhile
            return new Failure('the connection was lost');
        }
        // "(0x55b5) SERVER ERROR, backend store is not available,  host: 127.0.0.1:1 -> ./src/libmemcached/response.cc:285"
        $said = preg_replace('/^\(0x\w+\) |,  host: .*/', '', $this->client->getLastErrorMessage());
        return new Failure($said ?: $this->client->getResultMessage());
    }

    // ['value' => ..., 'cas' => ...], or null. Where the key cannot be read, the extension's result is that of a miss; but a miss has
    // no error.
    private function found(string $key): ?array
    {
        $found = $this->checked($this->client->get($key, null, Memcached::GET_EXTENDED), Memcached::RES_NOTFOUND);
        if ($found === false && $this->client->getLastErrorCode() !== Memcached::RES_SUCCESS) {
            throw $this->failure();
        }
        return $found ?: null;
    }

    public function cart(string $customer): array
    {
        return json_decode($this->found("cart:$customer")['value'] ?? '{}', true);
    }

    // Two clicks at once, through whatever instances, both count: gets and cas.
    public function add_to_cart(string $customer, string $item): void
    {
        $key = "cart:$customer";
        do {
            $found = $this->found($key);
            $cart = json_decode($found['value'] ?? '{}', true);
            $cart[$item] = ($cart[$item] ?? 0) + 1;
            $value = json_encode($cart);
            $done = $found ? $this->client->cas($found['cas'], $key, $value) : $this->client->add($key, $value);
            $this->checked($done, Memcached::RES_DATA_EXISTS, Memcached::RES_NOTSTORED, Memcached::RES_NOTFOUND);
        } while (!$done);
    }

    public function empty_cart(string $customer): void
    {
        $this->checked($this->client->delete("cart:$customer"), Memcached::RES_NOTFOUND);
    }

    // A row of the shop's own table, which Forebay reads through.
    public function profile(string $customer): ?array
    {
        $found = $this->found("profile:$customer");
        return $found ? json_decode($found['value'], true) : null;
    }

    public function count(string $customer): int
    {
        return $this->checked($this->client->increment("count:$customer", 1, 1));
    }

    // What the server tells of its namespaces: carts:policy => write-through, carts:loads => 3, ...
    public function namespaces(): array
    {
        $stats = $this->client->getStats('namespaces');
        return $stats ? reset($stats) : throw $this->failure();
    }
}

// [what it answers, null], or [null, why not]: a page has what can be had.
function attempt(callable $function): array
{
    try {
        return [$function(), null];
    } catch (Failure $failure) {
        return [null, $failure->getMessage()];
    }
}

// Rows [part, policy, where it came from]. With others clicking at the same moment, what they load counts too.
function strip(array $before, array $now, array $parts): array
{
    return array_map(function ($part) use ($before, $now) {
        $name = PARTS[$part];
        $loaded = $before["$name:loads"] != $now["$name:loads"];
        return [$part, $now["$name:policy"], $loaded ? 'backend' : 'memory'];
    }, $parts);
}
