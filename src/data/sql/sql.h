/* sql.h - the SQL files of this folder, in the program (tools/embed.py writes the table). */
#ifndef KINDRED_SQL_H
#define KINDRED_SQL_H

struct sql_script {
    const char *name; /* "split_temporal" for split_temporal.sql */
    const char *text;
};

extern const struct sql_script sql_scripts[]; /* ends with a NULL name */

#endif
