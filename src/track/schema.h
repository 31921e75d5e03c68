/* schema.h - MLflow's database, empty. */
#ifndef KINDRED_SCHEMA_H
#define KINDRED_SCHEMA_H

/* SQL that makes all tables. */
extern const char mlflow_schema[];

#endif
