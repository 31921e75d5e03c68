/* outdir.h - a folder of files that changes as a whole.
 *
 * The files are written into a temporary folder beside the wanted one (PATH.tmp-PID). Then
 *   - where PATH doesn't exist, the folder is renamed;
 *   - where it does, the two change places (renameat2), and what isn't ours in the old one moves
 * over;
 *   - where they can't (PATH is a mount point, the working folder, on a file system without
 * exchange), the temporary one is PATH/.tmp-PID, and the files move one by one; the last of `names`
 * is removed first and put last, so that a reader who asks for it never sees half. Everything is
 * flushed to disk before. A folder that a killed run left is cleared by the next run. */
#ifndef KINDRED_OUTDIR_H
#define KINDRED_OUTDIR_H

#include "base/err.h"

struct outdir {
    char *path, *tmp;         /* without symbolic links; write the files into tmp */
    char *above;              /* the nearest folder that was there */
    const char *const *names; /* (n_names) of the files that make up the folder */
    int n_names;
    bool one_by_one;
};

/* names: the last one is that which makes the folder valid; they outlive the outdir. In tmp a
 * folder OUTDIR_SPILL may be made too; it's removed. */
#define OUTDIR_SPILL "spill"
NODISCARD bool outdir_open(struct outdir *o, const char *path, const char *const *names,
                           int n_names, struct err *err);
NODISCARD bool outdir_commit(struct outdir *o, struct err *err);
void outdir_release(struct outdir *o); /* not committed: nothing is left of it */

#endif
