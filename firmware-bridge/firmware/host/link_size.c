/* What one link takes of RAM, for the test that measures it. */
#include "holdfast.h"

extern holdfast_link measured;
holdfast_link measured = {0};
