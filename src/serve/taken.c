#include "serve/taken.h"

#include "data/names.h"

#include <pthread.h>
#include <stdatomic.h>

struct took {
    int64_t ms;
    int32_t item; /* in names */
};

struct list {
    struct took *at; /* in order of time */
    int32_t n, cap;
};

struct taken {
    atomic_bool any;
    pthread_rwlock_t lock; /* of what follows */
    struct names users, items;
    struct list *lists; /* (lists_cap) of the users */
    int32_t lists_cap;
};

struct taken *taken_new(void)
{
    struct taken *t = xcalloc(1, sizeof *t);

    pthread_rwlock_init(&t->lock, NULL);
    return t;
}

void taken_free(struct taken *t)
{
    if (!t)
        return;
    for (int32_t u = 0; u < t->lists_cap; u++)
        free(t->lists[u].at);
    free(t->lists);
    names_release(&t->users);
    names_release(&t->items);
    pthread_rwlock_destroy(&t->lock);
    free(t);
}

/* With the '\0', so that a name is a string too. */
static struct name name_of(const char *text)
{
    return (struct name){text, strlen(text) + 1};
}

static struct list *list_of(struct taken *t, int32_t user)
{
    if (user >= t->lists_cap) {
        int32_t cap = MAX(2 * t->lists_cap, user + 1024);

        t->lists = xrealloc(t->lists, (size_t)cap, sizeof *t->lists);
        memset(t->lists + t->lists_cap, 0, (size_t)(cap - t->lists_cap) * sizeof *t->lists);
        t->lists_cap = cap;
    }
    return &t->lists[user];
}

static int32_t place_of(const struct list *l, int32_t item)
{
    int32_t k = 0;

    while (k < l->n && l->at[k].item != item)
        k++;
    return k;
}

static void remove_at(struct list *l, int32_t k)
{
    l->n--;
    memmove(&l->at[k], &l->at[k + 1], (size_t)(l->n - k) * sizeof *l->at);
}

static void insert(struct list *l, struct took new)
{
    int32_t k = l->n;

    if (l->n == l->cap) {
        l->cap = MAX(4, 2 * l->cap);
        l->at = xrealloc(l->at, (size_t)l->cap, sizeof *l->at);
    }
    while (k > 0 && l->at[k - 1].ms > new.ms)
        k--;
    memmove(&l->at[k + 1], &l->at[k], (size_t)(l->n - k) * sizeof *l->at);
    l->at[k] = new;
    l->n++;
}

static void add(struct list *l, struct took new)
{
    int32_t k = place_of(l, new.item);

    if (k < l->n && l->at[k].ms <= new.ms)
        return;
    if (k < l->n)
        remove_at(l, k);
    insert(l, new);
    if (l->n > TAKEN_MAX)
        remove_at(l, 0);
}

void taken_add(struct taken *t, const char *user, const char *item, int64_t ms)
{
    const struct name user_name = name_of(user), item_name = name_of(item);
    int32_t u, i;

    pthread_rwlock_wrlock(&t->lock);
    if (names_add(&t->users, &user_name, 1, &u) && names_add(&t->items, &item_name, 1, &i))
        add(list_of(t, u), (struct took){ms, i});
    pthread_rwlock_unlock(&t->lock);
    atomic_store_explicit(&t->any, true, memory_order_release);
}

int32_t taken_items(struct taken *t, const char *user, const struct ids *items, int32_t **out)
{
    int32_t u, n = 0;

    *out = NULL;
    if (!t || !atomic_load_explicit(&t->any, memory_order_acquire))
        return 0;
    pthread_rwlock_rdlock(&t->lock);
    u = names_find(&t->users, name_of(user));
    if (u >= 0 && u < t->lists_cap) {
        const struct list *l = &t->lists[u];

        *out = xmalloc((size_t)MAX(l->n, 1), sizeof **out);
        for (int32_t k = 0; k < l->n; k++) {
            int32_t item = ids_find(items, names_get(&t->items, l->at[k].item).bytes);

            if (item >= 0)
                (*out)[n++] = item;
        }
    }
    pthread_rwlock_unlock(&t->lock);
    if (n == 0) {
        free(*out);
        *out = NULL;
    }
    return n;
}
