#include "comm/launcher.h"

#include <limits.h>

/* The first whose rank is set. Slurm also tells the script of a job SLURM_PROCID and SLURM_NTASKS,
 * which runs once: only a step has SLURM_STEP_NUM_TASKS. */
static const struct {
    const char *name, *mpi, *rank, *size, *local_rank;
} launchers[] = {
    {"Open MPI's mpirun", "openmpi", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
     "OMPI_COMM_WORLD_LOCAL_RANK"},
    {"a PMIx launcher", "openmpi", "PMIX_RANK", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"},
    {"a PMI launcher (MPICH)", "mpich", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"},
    {"srun", NULL, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"},
};

int launcher_number(const char *variable, int otherwise)
{
    const char *text = getenv(variable);
    char *end;
    long n;

    if (!text || !*text)
        return otherwise;
    n = strtol(text, &end, 10);
    return *end || n < 0 || n > INT_MAX ? otherwise : (int)n;
}

struct launcher launcher_find(void)
{
    for (int i = 0; i < ARRAY_LEN(launchers); i++) {
        struct launcher l = {.name = launchers[i].name,
                             .mpi = launchers[i].mpi,
                             .rank = launcher_number(launchers[i].rank, -1),
                             .size = launcher_number(launchers[i].size, 0),
                             .local_rank = launcher_number(launchers[i].local_rank, 0)};

        if (l.rank >= 0 && (l.mpi || l.size > 1))
            return l;
    }
    return (struct launcher){.size = 1};
}
