"""What is handed out: skeletons cut from the plain readings, handouts, archives for courses, the lectures."""
