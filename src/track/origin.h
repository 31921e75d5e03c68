/* origin.h - who ran what, where: for the tags of a run. */
#ifndef KINDRED_ORIGIN_H
#define KINDRED_ORIGIN_H

#include "base/base.h"

/* All to be freed. */
char *origin_user(void); /* "unknown" where nobody says */
char *origin_host(void);
char *origin_commit(void); /* what git has checked out in this folder; NULL: nothing */

#endif
