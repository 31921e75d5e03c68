/* sql.h - the SQL files of this folder, in the program. */
#ifndef KINDRED_SQL_H
#define KINDRED_SQL_H

#include "base/embedded.h"

extern const struct embedded sql_scripts[];

#endif
