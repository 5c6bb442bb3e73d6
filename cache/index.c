/* SPDX-License-Identifier: MIT */
#include "cache/index.h"
#include "cache/sane.h"
#include <assert.h>

enum {
    INDEX_MIN = 4,        /* buckets */
    FILL_PERCENT = 72,    /* of the primary slots: more makes chains, less wastes lines */
    SHRINK_PERCENT = 40,  /* below this buckets are taken away */
    CHAIN_MAX = 16,       /* overflow buckets in a chain; by chance not even three follow one another */
    OVERFLOW_KEPT = 1024, /* buckets: fewer are not worth a system call */
    PAGE = 4096
};

bool index_create(struct index *index, size_t reserve_bytes, bool huge) {
    *index = (struct index){.count = INDEX_MIN, .mask = index_mask(INDEX_MIN)};
    if (!region_reserve(&index->bucket_region, reserve_bytes))
        return false;
    if (huge)
        region_open_huge(&index->bucket_region);
    if (!region_reserve(&index->overflow_region, reserve_bytes) ||
        !region_open(&index->bucket_region, INDEX_MIN * sizeof(struct bucket))) {
        index_destroy(index);
        return false;
    }
    index->buckets = (struct bucket *)(void *)index->bucket_region.base;
    index->overflow = (struct bucket *)(void *)index->overflow_region.base;
    return true;
}

void index_destroy(struct index *index) {
    region_free(&index->bucket_region);
    region_free(&index->overflow_region);
}

static void set_count(struct index *index, uint32_t count) {
    __atomic_store_n(&index->count, count, __ATOMIC_RELAXED);
    __atomic_store_n(&index->mask, index_mask(count), __ATOMIC_RELAXED);
}

void index_expect(struct index *index, uint64_t entries) {
    uint64_t buckets = entries * 100 / (BUCKET_SLOTS * FILL_PERCENT) + 1;
    size_t bytes = buckets * sizeof(struct bucket);
    if (index->entries > 0 || buckets <= index->count || buckets >= INDEX_OVERFLOW ||
        bytes > index->bucket_region.reserved)
        return;
    if (region_open(&index->bucket_region, bytes))
        set_count(index, (uint32_t)buckets);
}

static size_t whole_pages(uint32_t buckets) {
    return (buckets * sizeof(struct bucket) + PAGE - 1) / PAGE * PAGE;
}

size_t index_bytes(const struct index *index) {
    size_t buckets = whole_pages(index->count);
    if (index->bucket_region.huge && buckets < REGION_ALIGNMENT)
        buckets = REGION_ALIGNMENT;
    return buckets + whole_pages(index->overflow_top);
}

static void slot_set(struct bucket *bucket, uint32_t place, uint8_t tag, uint32_t ref) {
    __atomic_store_n(&bucket->refs[place], ref, __ATOMIC_RELAXED);
    __atomic_store_n(&bucket->tags[place], tag, __ATOMIC_RELAXED);
}

static void next_set(struct bucket *bucket, uint32_t next) {
    __atomic_store_n(&bucket->next, next, __ATOMIC_RELAXED);
}

/* Number of the next bucket in the chain, or INDEX_NONE as unsigned. */
static uint32_t chain_next(const struct index *index, uint32_t number) {
    uint32_t next = index_bucket(index, number)->next;
    return next ? INDEX_OVERFLOW + next - 1 : UINT32_MAX;
}

static uint32_t bucket_used(const struct bucket *bucket) {
    return BUCKET_SLOTS - (uint32_t)__builtin_popcount(bucket_match(bucket, 0));
}

uint32_t index_find_ref(const struct index *index, uint64_t hash, uint32_t ref) {
    uint8_t tag = hash_tag(hash);
    for (uint32_t number = index_home(index, hash); number != UINT32_MAX;
         number = chain_next(index, number)) {
        const struct bucket *bucket = index_bucket(index, number);
        for (uint32_t match = bucket_match(bucket, tag); match; match &= match - 1) {
            uint32_t place = (uint32_t)__builtin_ctz(match);
            if (bucket->refs[place] == ref)
                return slot_of(number, place);
        }
    }
    return SLOT_NONE;
}

/* An empty overflow bucket, or UINT32_MAX. */
static uint32_t overflow_take(struct index *index) {
    uint32_t number;
    if (index->overflow_free) {
        number = index->overflow_free - 1;
        index->overflow_free = index->overflow[number].next;
    } else {
        number = index->overflow_top;
        if (!region_open(&index->overflow_region, (number + 1ul) * sizeof(struct bucket)))
            return UINT32_MAX;
        index->overflow_top++;
    }
    next_set(&index->overflow[number], 0);
    index->overflow_used++;
    return INDEX_OVERFLOW + number;
}

static void overflow_give(struct index *index, uint32_t number) {
    number -= INDEX_OVERFLOW;
    next_set(&index->overflow[number], index->overflow_free);
    index->overflow_free = number + 1;
    if (--index->overflow_used == 0) { /* none is in use: the whole run can be given back */
        if (index->overflow_top >= OVERFLOW_KEPT)
            region_forget(&index->overflow_region, 0, whole_pages(index->overflow_top));
        index->overflow_top = index->overflow_free = 0;
    }
}

/* Adds to the end of the chain that starts at `number`. False: no memory, or the chain is as long as it may be. */
static bool chain_add(struct index *index, uint32_t number, uint8_t tag, uint32_t ref) {
    unsigned length = 0; /* overflow buckets */
    for (; index_bucket(index, number)->next; length++)
        number = chain_next(index, number);
    struct bucket *bucket = index_bucket(index, number);
    uint32_t empty = bucket_match(bucket, 0);
    if (!empty) {
        uint32_t added = length < CHAIN_MAX ? overflow_take(index) : UINT32_MAX;
        if (added == UINT32_MAX)
            return false;
        next_set(bucket, added - INDEX_OVERFLOW + 1);
        bucket = index_bucket(index, added);
        empty = (1u << BUCKET_SLOTS) - 1;
    }
    slot_set(bucket, (uint32_t)__builtin_ctz(empty), tag, ref);
    return true;
}

struct handful {
    uint32_t size;
    uint8_t tags[BUCKET_SLOTS * (1 + CHAIN_MAX)];
    uint32_t refs[BUCKET_SLOTS * (1 + CHAIN_MAX)];
};

/* Its buckets. */
static unsigned chain_length(const struct index *index, uint32_t number) {
    unsigned length = 0;
    for (; number != UINT32_MAX; number = chain_next(index, number))
        length++;
    return length;
}

/* Takes everything out of a chain and gives its overflow buckets back. */
static void chain_empty(struct index *index, uint32_t home, struct handful *ret_handful) {
    ret_handful->size = 0;
    for (uint32_t number = home; number != UINT32_MAX;) {
        struct bucket *bucket = index_bucket(index, number);
        uint32_t next = chain_next(index, number), used = bucket_used(bucket);
        for (uint32_t i = 0; i < used; i++) {
            ret_handful->tags[ret_handful->size] = bucket->tags[i];
            ret_handful->refs[ret_handful->size++] = bucket->refs[i];
            slot_set(bucket, i, 0, 0);
        }
        next_set(bucket, 0);
        if (number >= INDEX_OVERFLOW)
            overflow_give(index, number);
        number = next;
    }
}

/* Adds one bucket and shares the chain that it splits out between the two. The overflow buckets that the
 * halves may need were just given back, so this cannot run out of memory half-way. */
static void index_grow(struct index *index, const struct index_owner *owner) {
    uint32_t added = index->count, old = index_home(index, added);
    if (added + 1 >= INDEX_OVERFLOW ||
        !region_open(&index->bucket_region, (added + 1ul) * sizeof(struct bucket)))
        return; /* chains grow longer instead */
    struct bucket *bucket = &index->buckets[old];
    for (uint32_t i = 0, used = bucket_used(bucket); i < used; i++)
        owner->prefetch(owner, bucket->refs[i]);
    struct handful handful;
    chain_empty(index, old, &handful);
    set_count(index, added + 1);
    for (uint32_t i = 0; i < handful.size; i++) {
        uint32_t number = index_home(index, owner->hash(owner, handful.refs[i]));
        bool done = chain_add(index, number, handful.tags[i], handful.refs[i]);
        assert(done);
        (void)done;
    }
}

bool index_insert(struct index *index, uint64_t hash, uint32_t ref, const struct index_owner *owner) {
    if (!chain_add(index, index_home(index, hash), hash_tag(hash), ref))
        return false;
    index->entries++;
    if (index->entries * 100 > (uint64_t)index->count * BUCKET_SLOTS * FILL_PERCENT)
        index_grow(index, owner);
    return true;
}

void index_remove(struct index *index, uint32_t slot, uint64_t hash) {
    uint32_t before = UINT32_MAX, last = index_home(index, hash);
    while (index_bucket(index, last)->next) {
        before = last;
        last = chain_next(index, last);
    }
    struct bucket *bucket = index_bucket(index, slot_bucket(slot)), *end = index_bucket(index, last);
    uint32_t place = bucket_used(end) - 1;
    slot_set(bucket, slot_place(slot), end->tags[place], end->refs[place]);
    slot_set(end, place, 0, 0);
    if (place == 0 && before != UINT32_MAX) {
        next_set(index_bucket(index, before), 0);
        overflow_give(index, last);
    }
    index->entries--;
}

bool index_shrink(struct index *index) {
    if (index->count <= INDEX_MIN ||
        index->entries * 100 > (uint64_t)index->count * BUCKET_SLOTS * SHRINK_PERCENT)
        return false;
    uint32_t gone = index->count - 1, into = index_home_among(gone, index_mask(gone), gone);
    if (chain_length(index, gone) + chain_length(index, into) > 1 + CHAIN_MAX)
        return false;
    struct handful handful;
    chain_empty(index, gone, &handful);
    set_count(index, gone);
    for (uint32_t i = 0; i < handful.size; i++) {
        bool done = chain_add(index, into, handful.tags[i], handful.refs[i]);
        SANE(done); /* there are as many addresses for overflow buckets as for the others */
    }
    if (gone * sizeof(struct bucket) % PAGE == 0)
        region_forget(&index->bucket_region, gone * sizeof(struct bucket), PAGE);
    return true;
}

/* Checks one chain, returns its entries. */
static uint64_t chain_is_sane(const struct index *index, const struct index_owner *owner, uint32_t home,
                              uint32_t *overflow_seen) {
    uint64_t entries = 0;
    SANE(chain_length(index, home) <= 1 + CHAIN_MAX);
    for (uint32_t number = home; number != UINT32_MAX; number = chain_next(index, number)) {
        const struct bucket *bucket = index_bucket(index, number);
        uint32_t used = bucket_used(bucket);
        SANE(used == BUCKET_SLOTS || !bucket->next);
        SANE(used > 0 || number == home);
        *overflow_seen += number >= INDEX_OVERFLOW;
        for (uint32_t i = 0; i < BUCKET_SLOTS; i++) {
            SANE((bucket->tags[i] != 0) == (i < used));
            if (i >= used)
                continue;
            uint64_t hash = owner->hash(owner, bucket->refs[i]);
            SANE(index_home(index, hash) == home && hash_tag(hash) == bucket->tags[i]);
        }
        entries += used;
    }
    return entries;
}

bool index_is_sane(const struct index *index, const struct index_owner *owner) {
    uint64_t entries = 0;
    uint32_t overflow_seen = 0, unused = 0;
    SANE(index->mask == index_mask(index->count));
    for (uint32_t number = 0; number < index->count; number++)
        entries += chain_is_sane(index, owner, number, &overflow_seen);
    for (uint32_t next = index->overflow_free; next; next = index->overflow[next - 1].next)
        unused++;
    SANE(entries == index->entries);
    SANE(overflow_seen == index->overflow_used);
    SANE(overflow_seen + unused == index->overflow_top);
    return true;
}
