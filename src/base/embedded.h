/* embedded.h - files that are in the program (tools/embed.py writes the tables). */
#ifndef KINDRED_EMBEDDED_H
#define KINDRED_EMBEDDED_H

struct embedded {
    const char *name; /* "split_temporal" for split_temporal.sql; NULL ends a table */
    const char *text;
};

/* Packed by gzip. */
struct embedded_file {
    const char *name;   /* "docs.html"; NULL ends a table */
    const char *digest; /* of what it is unpacked */
    unsigned long size; /* of `bytes` */
    const char *bytes;
};

#endif
