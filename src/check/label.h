/* label.h - what discovery found, in order, once each, with unique ids. */
#ifndef HOSPITAL_CHECK_LABEL_H
#define HOSPITAL_CHECK_LABEL_H

#include "check/walk.h"

/* Merges files met twice, drops findings met twice, sorts by root and path,
 * fills every label, and turns the rests of ids into ids. */
void label_all(struct walk *w);

#endif
